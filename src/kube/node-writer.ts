import { type Annotations, flannelAnnotations } from '../cluster/flannel.ts'
import { at, fieldOf, isObject, listOf } from '../cluster/json-value.ts'
import type { FlannelVtep } from '../cluster/node.ts'
import { need, needing } from './access.ts'
import type { KubeClient } from './client.ts'
import { nodes, pathOf } from './resource.ts'
import type { Time } from './time.ts'

/** A condition of this node as we find it; times are the writer's. */
export type Condition = {
  /** "NetworkUnavailable", or one of ours */
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  /** One word, CamelCase. */
  readonly reason: string
  readonly message: string
}

/** Takes away the taint by which a cloud's node controller keeps pods off a node without routes. */
export const networkIsUp: Condition = {
  type: 'NetworkUnavailable',
  status: 'False',
  reason: 'TulleIsUp',
  message: 'Tulle routes the pods of this node',
}

/**
 * Writes to this node's own Node object, and only what differs: every write is an event for every
 * node of the cluster. Faults: those of the client; AccessMissing names the RBAC rule.
 */
export class NodeWriter {
  readonly #client: KubeClient
  readonly #path: string
  readonly #name: string
  readonly #time: Pick<Time, 'date'>

  constructor(given: { client: KubeClient; name: string; time: Pick<Time, 'date'> }) {
    this.#client = given.client
    this.#name = given.name
    this.#path = pathOf(nodes, { name: given.name })
    this.#time = given.time
  }

  /** Returns the types of the conditions that had to be written. */
  async writeConditions(wanted: readonly Condition[]): Promise<readonly string[]> {
    const present = listOf(at(await this.#read(), 'status', 'conditions'))
    const now = this.#time
      .date()
      .toISOString()
      .replace(/\.\d+Z$/, 'Z')
    const written = wanted.flatMap((condition) => changedCondition(condition, present, now))
    // The list is merged by its key, the type: others' conditions stay (strategic merge patch).
    if (written.length > 0) await this.#patch({ status: { conditions: written } })
    return written.map(({ type }) => type)
  }

  /** Takes conditions of ours off the node; those that are not there are no matter. */
  async removeConditions(types: readonly string[]): Promise<void> {
    const present = listOf(at(await this.#read(), 'status', 'conditions'))
    const gone = types.filter((type) => present.some((one) => fieldOf(one, 'type') === type))
    const conditions = gone.map((type) => ({ $patch: 'delete', type }))
    if (gone.length > 0) await this.#patch({ status: { conditions } })
  }

  /** True if that had to be written. */
  async writeAnnotation(key: string, value: string): Promise<boolean> {
    if (at(await this.#read(), 'metadata', 'annotations', key) === value) return false
    await this.#patch({ metadata: { annotations: { [key]: value } } })
    return true
  }

  /** Tells Flannel's nodes where our tunnel ends are; true if that had to be written. */
  async writeFlannel(vteps: readonly FlannelVtep[]): Promise<boolean> {
    const found = at(await this.#read(), 'metadata', 'annotations')
    const present: Annotations = isObject(found) ? found : {}
    const wanted = Object.entries(flannelAnnotations(vteps, present))
    const different = wanted.filter(([key, value]) => fieldOf(present, key) !== value)
    if (different.length === 0) return false
    // By the status subresource, as Flannel does: one rule of RBAC for both.
    await this.#patch({ metadata: { annotations: Object.fromEntries(different) } })
    return true
  }

  #read(): Promise<unknown> {
    return needing(need.getNode, () => this.#client.call({ method: 'GET', path: this.#path }))
  }

  async #patch(body: object): Promise<void> {
    await needing(need.patchNodeStatus, () =>
      this.#client.call({
        method: 'PATCH',
        path: pathOf(nodes, { name: this.#name, subresource: 'status' }),
        contentType: 'application/strategic-merge-patch+json',
        body,
      }),
    )
  }
}

type WrittenCondition = Condition &
  Readonly<Record<'lastHeartbeatTime' | 'lastTransitionTime', string>>

/** The condition to write, or none if the node has it; its time counts from a change of status. */
function changedCondition(
  wanted: Condition,
  present: readonly unknown[],
  now: string,
): readonly WrittenCondition[] {
  const found = present.find((one) => fieldOf(one, 'type') === wanted.type)
  const isSame = (['status', 'reason', 'message'] as const).every(
    (key) => fieldOf(found, key) === wanted[key],
  )
  if (isSame) return []
  const since = fieldOf(found, 'lastTransitionTime')
  const isOld = fieldOf(found, 'status') === wanted.status && typeof since === 'string'
  return [{ ...wanted, lastHeartbeatTime: now, lastTransitionTime: isOld ? since : now }]
}
