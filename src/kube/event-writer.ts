import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { EventsV1Event } from '@kubernetes/client-node'
import { eventNamespace, need, needing } from './access.ts'
import type { KubeClient } from './client.ts'
import { isRefusal } from './refusal.ts'
import { events, pathOf } from './resource.ts'
import type { Time } from './time.ts'

/** One thing that happened to this node. */
export type Finding = {
  readonly type: 'Normal' | 'Warning'
  /** One word, CamelCase; findings with the same reason are of one kind. */
  readonly reason: string
  /** What was done about it, one word: "Probed". */
  readonly action: string
  /** For people; cut to 1024 bytes. */
  readonly note: string
  /** What it is about; absent: this node. */
  readonly object?: EventObject
}

export type EventObject = {
  readonly apiVersion: string
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly uid: string
}

/** One Event of a kind in this time: a fault of 5,000 peers is one line in `kubectl describe`. */
const quietMs = 300_000
/** Kinds that are remembered; Tulle has a few dozen reasons, some of them for each policy. */
const kindsMax = 100
/** Limits of the API's validation (pkg/apis/core/validation/events.go). */
const noteBytesMax = 1024
const nameCharactersMax = 200

type Kind = { name: string | undefined; note: string; count: number; writtenMs: number }

/** Events about things without a namespace are in the default one (API validation). */
const namespaceOf = ({ object }: Finding): string => object?.namespace ?? eventNamespace
const kindOf = ({ reason, object }: Finding): string =>
  object ? `${reason} ${object.kind} ${object.uid}` : reason

/**
 * Reports findings as Events (events.k8s.io/v1) of this node, or of what they are about. A kind is
 * written once in 5 minutes; what came meanwhile is counted, and told by the Event's series.
 */
export class EventWriter {
  readonly #client: KubeClient
  readonly #node: string
  readonly #time: Time
  readonly #kinds = new Map<string, Kind>()

  constructor(given: { client: KubeClient; node: string; time: Time }) {
    this.#client = given.client
    this.#node = given.node
    this.#time = given.time
  }

  /**
   * True if something was written. Faults: those of the client; AccessMissing names the RBAC rule.
   * A finding that could not be written is not tried again before its 5 minutes are over.
   */
  async report(finding: Finding): Promise<boolean> {
    const note = cut(finding.note)
    const nowMs = this.#time.nowMs()
    const before = this.#kinds.get(kindOf(finding))
    if (before !== undefined && nowMs - before.writtenMs < quietMs) {
      before.count++
      return false
    }
    // Everything but the series is immutable: another note takes another Event.
    const goesOn = before?.name !== undefined && before.note === note
    const kind = goesOn
      ? { ...before, count: before.count + 1, writtenMs: nowMs }
      : { name: undefined, note, count: 1, writtenMs: nowMs }
    this.#remember(kindOf(finding), kind)
    if (!(goesOn && (await this.#wroteSeries(finding, kind)))) await this.#create(finding, kind)
    return true
  }

  #remember(which: string, kind: Kind): void {
    this.#kinds.delete(which)
    this.#kinds.set(which, kind)
    const [oldest] = this.#kinds.keys()
    if (this.#kinds.size > kindsMax && oldest !== undefined) this.#kinds.delete(oldest)
  }

  /** False if the Event is gone: the API server keeps them for an hour. */
  async #wroteSeries(finding: Finding, { name, count }: Kind): Promise<boolean> {
    if (name === undefined || finding.object) return false
    const series = { count, lastObservedTime: this.#microTime() }
    try {
      await needing(need.patchEvents, () =>
        this.#client.call({
          method: 'PATCH',
          path: pathOf(events, { namespace: eventNamespace, name }),
          contentType: 'application/merge-patch+json',
          body: { series },
        }),
      )
      return true
    } catch (fault) {
      if (isRefusal(fault, 404)) return false
      throw fault
    }
  }

  /**
   * All nodes find the same about a policy: who is first writes the Event, whose name follows from
   * what it tells.
   */
  async #create(finding: Finding, kind: Kind): Promise<void> {
    const { type, reason, action, object } = finding
    const namespace = namespaceOf(finding)
    const name = this.#nameOf(finding, kind)
    const body: Omit<EventsV1Event, 'eventTime'> & { readonly eventTime: string } = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name, namespace },
      eventTime: this.#microTime(),
      reportingController: 'tulle.dev/agent',
      reportingInstance: this.#node,
      // kubelet's own events name the node in place of its uid; kubectl looks for that.
      regarding: object ?? { apiVersion: 'v1', kind: 'Node', name: this.#node, uid: this.#node },
      type,
      reason,
      action,
      note: kind.note,
    }
    const right = object ? need.createPolicyEvents : need.createEvents
    try {
      await needing(right, () =>
        this.#client.call({ method: 'POST', path: pathOf(events, { namespace }), body }),
      )
    } catch (fault) {
      if (!object || !isRefusal(fault, 409)) throw fault
    }
    kind.name = name
  }

  #nameOf({ object, reason }: Finding, { note }: Kind): string {
    if (object) {
      const digest = createHash('sha256').update(`${object.uid} ${reason} ${note}`).digest('hex')
      return `${object.name.slice(0, nameCharactersMax)}.${digest.slice(0, 12)}`
    }
    const chance = Math.floor(this.#time.random() * 2 ** 48)
    const suffix = chance.toString(16).padStart(12, '0')
    return `${this.#node.slice(0, nameCharactersMax)}.${suffix}`
  }

  /** metav1.MicroTime: six digits of a second, no fewer. */
  #microTime(): string {
    return this.#time.date().toISOString().replace('Z', '000Z')
  }
}

/** At most 1024 bytes, and no half character at the end. */
const cut = (note: string): string =>
  Buffer.from(note)
    .subarray(0, noteBytesMax)
    .toString('utf8')
    .replace(/\ufffd$/, '')
