import { type Attachment, nameOf } from '../datapath/attachment.ts'
import { Loop, type SharedOptions, sharedOf } from './loop.ts'

/**
 * A record is written before its link is made and removed after it, so one look at a record without
 * a link says nothing; no ADD and no DEL takes so long between the two.
 */
export const absenceMilliseconds = 30_000
const lookMilliseconds = 15_000
const gapMilliseconds = 5_000
const retryMilliseconds = 5_000
const retryMillisecondsMax = 120_000
/** Each takes a process some 30 ms; the rest waits for the next run. */
const deletionsMax = 20

export type Leavings = {
  readonly attachments: readonly Attachment[]
  /** Of a boot before this one, or of another network namespace: none of them lives. */
  readonly isEarlierLife: boolean
  /** Names of the host's links. */
  readonly links: ReadonlySet<string>
}

export type CollectLoopOptions = SharedOptions & {
  readonly look: () => Leavings
  /** DEL, as the runtime should have called it. */
  readonly del: (attachment: Attachment) => Promise<void>
  readonly onCollected: (attachment: Attachment) => void
}

/** Takes away what pods left whose runtime never said DEL, one at a time. */
export class CollectLoop {
  readonly loop: Loop
  readonly #options: CollectLoopOptions
  /** Records without a link: what they said, and since when. */
  #absent = new Map<string, { readonly record: string; readonly since: number }>()

  constructor(options: CollectLoopOptions) {
    this.#options = options
    this.loop = new Loop({
      ...sharedOf(options),
      name: 'collect',
      work: () => this.work(),
      gapMilliseconds,
      retryMilliseconds,
      retryMillisecondsMax,
      resyncMilliseconds: lookMilliseconds,
    })
  }

  async work(): Promise<void> {
    const { look, del, onCollected } = this.#options
    const gone = this.#goneNow(look())
    for (const attachment of gone.slice(0, deletionsMax)) {
      // Meanwhile others were waited for: it may live again.
      if (!this.#isStillGone(attachment, look())) continue
      await del(attachment)
      onCollected(attachment)
      this.#absent.delete(nameOf(attachment))
    }
    if (gone.length > deletionsMax) this.loop.mark()
  }

  #goneNow(leavings: Leavings): readonly Attachment[] {
    const { attachments, isEarlierLife } = leavings
    const now = this.#options.clock.now()
    const before = this.#absent
    this.#absent = new Map(
      attachments
        .filter((attachment) => isWithoutPod(attachment, leavings))
        .map((attachment) => {
          const record = JSON.stringify(attachment)
          const known = before.get(nameOf(attachment))
          const since = known?.record === record ? known.since : now
          return [nameOf(attachment), { record, since }]
        }),
    )
    return attachments.filter((attachment) => {
      const since = this.#absent.get(nameOf(attachment))?.since
      return since !== undefined && (isEarlierLife || now - since >= absenceMilliseconds)
    })
  }

  #isStillGone(attachment: Attachment, leavings: Leavings): boolean {
    const record = leavings.attachments.find((one) => nameOf(one) === nameOf(attachment))
    const isSame = record !== undefined && JSON.stringify(record) === JSON.stringify(attachment)
    return isSame && isWithoutPod(attachment, leavings)
  }
}

/** At this look: its link is not there, or is of another life than the record. */
const isWithoutPod = ({ link }: Attachment, { isEarlierLife, links }: Leavings): boolean =>
  isEarlierLife || !links.has(link)
