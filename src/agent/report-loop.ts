import type { FlannelVtep } from '../cluster/node.ts'
import { policyRevisionAnnotation } from '../cluster/policy-revision.ts'
import type { KubeClient } from '../kube/client.ts'
import { EventWriter } from '../kube/event-writer.ts'
import { type Condition, NodeWriter, networkIsUp } from '../kube/node-writer.ts'
import { systemTime } from '../kube/time.ts'
import type { TunnelDevice } from '../overlay/fabric.ts'
import type { Finding } from '../serve/agent-status.ts'
import { Loop, type SharedOptions, sharedOf } from './loop.ts'
import type { Revisions } from './policy-book.ts'

/** Every write is an event for every node of the cluster: what comes together goes together. */
const gapMilliseconds = 2_000
const retryMilliseconds = 2_000
const retryMillisecondsMax = 120_000
/** Findings that wait for an API server that is silent; older ones are in the log. */
const waitingMax = 50

export type ReportLoopOptions = SharedOptions & {
  readonly client: KubeClient
  readonly nodeName: string
  /** The node can have pods. */
  readonly isReady: () => boolean
  readonly findings: () => readonly Finding[]
  /** Undefined: Flannel's annotations are not written. */
  readonly flannelDevices: () => readonly TunnelDevice[] | undefined
  /** Of the policies in force; undefined: none are enforced. */
  readonly policyRevisions: () => Revisions | undefined
}

export const degraded = 'TulleDegraded'

/** Tells the cluster how this node is: conditions, Events, and Flannel's annotations if asked. */
export class ReportLoop {
  readonly loop: Loop
  readonly #options: ReportLoopOptions
  readonly #nodeWriter: NodeWriter
  readonly #eventWriter: EventWriter
  readonly #waiting: Finding[] = []

  constructor(options: ReportLoopOptions) {
    this.#options = options
    const { client, nodeName, clock, random } = options
    const time = { ...systemTime, nowMs: clock.now, random }
    this.#nodeWriter = new NodeWriter({ client, name: nodeName, time })
    this.#eventWriter = new EventWriter({ client, node: nodeName, time })
    this.loop = new Loop({
      ...sharedOf(options),
      name: 'report',
      work: () => this.work(),
      gapMilliseconds,
      retryMilliseconds,
      retryMillisecondsMax,
    })
  }

  found(come: readonly Finding[]): void {
    this.#waiting.push(...come)
    this.#waiting.splice(0, this.#waiting.length - waitingMax)
    this.loop.mark()
  }

  async work(): Promise<void> {
    const { isReady, findings, flannelDevices, policyRevisions } = this.#options
    const conditions = [...(isReady() ? [networkIsUp] : []), conditionOf(findings())]
    const vteps = flannelDevices()?.map(vtepOf)
    const events = this.#waiting.splice(0)
    await this.#nodeWriter.writeConditions(conditions)
    if (vteps && vteps.length > 0) await this.#nodeWriter.writeFlannel(vteps)
    await this.#writeRevisions(policyRevisions())
    for (const { check, meaning, remedy, object } of events)
      await this.#eventWriter.report({
        type: 'Warning',
        reason: reasonOf(check),
        action: 'Checked',
        note: `${meaning}; ${remedy}`,
        ...(object ? { object } : {}),
      })
  }

  async #writeRevisions(revisions: Revisions | undefined): Promise<void> {
    if (!revisions || Object.keys(revisions).length === 0) return
    const sorted = Object.fromEntries(Object.entries(revisions).sort())
    await this.#nodeWriter.writeAnnotation(policyRevisionAnnotation, JSON.stringify(sorted))
  }
}

function conditionOf(findings: readonly Finding[]): Condition {
  const [first, ...more] = findings.filter(({ severity }) => severity === 'error')
  if (!first)
    return {
      type: degraded,
      status: 'False',
      reason: 'AllChecksPass',
      message: 'Tulle finds no error',
    }
  const others = more.length > 0 ? ` (and ${more.length} more; see "tulle status")` : ''
  return {
    type: degraded,
    status: 'True',
    reason: reasonOf(first.check),
    message: `${first.meaning}; ${first.remedy}${others}`,
  }
}

/** "duplicate-pod-cidr" → "DuplicatePodCidr" */
const reasonOf = (check: string): string =>
  check.replaceAll(/(^|-)([a-z])/g, (_, __, letter: string) => letter.toUpperCase())

const vtepOf = ({ local, mac, vni }: TunnelDevice): FlannelVtep => ({
  family: local.family,
  address: local,
  mac,
  vni,
})
