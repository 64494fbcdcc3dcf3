import { nameOf } from '../datapath/attachment.ts'
import type { Remains } from '../datapath/gone.ts'
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

/** What looks like a gone pod's, with all that is on record of it. */
export type Leaving = Remains & { readonly record: string }
export type Leavings = {
  readonly remains: readonly Leaving[]
  /** Networks whose leases are files too. */
  readonly filed: ReadonlySet<string>
}

export type CollectLoopOptions = SharedOptions & {
  readonly look: () => Leavings
  /** DEL, as the runtime should have called it. */
  readonly del: (remains: Remains, filed: ReadonlySet<string>) => Promise<void>
  readonly onCollected: (remains: Remains) => void
}

/** Takes away what pods left whose runtime never said DEL, one at a time. */
export class CollectLoop {
  readonly loop: Loop
  readonly #options: CollectLoopOptions
  /** Since when they have looked so. */
  #absent = new Map<string, { readonly leaving: Leaving; readonly since: number }>()

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
    for (const leaving of gone.slice(0, deletionsMax)) {
      // Meanwhile others were waited for: it may live again.
      const { remains, filed } = look()
      if (!remains.some((one) => isSame(one, leaving))) continue
      await del(leaving, filed)
      onCollected(leaving)
      this.#absent.delete(nameOf(leaving))
    }
    if (gone.length > deletionsMax) this.loop.mark()
  }

  #goneNow({ remains }: Leavings): readonly Leaving[] {
    const now = this.#options.clock.now()
    const before = this.#absent
    this.#absent = new Map(
      remains.map((leaving) => {
        const known = before.get(nameOf(leaving))
        const since = known && isSame(known.leaving, leaving) ? known.since : now
        return [nameOf(leaving), { leaving, since }]
      }),
    )
    return [...this.#absent.values()]
      .filter(({ leaving, since }) => isSure(leaving) || now - since >= absenceMilliseconds)
      .map(({ leaving }) => leaving)
  }
}

const isSame = (left: Leaving, right: Leaving): boolean =>
  nameOf(left) === nameOf(right) && left.record === right.record

const isSure = ({ why }: Remains): boolean => why === 'earlier-boot'
