import type { PolicyPort, Transport } from '../cluster/policy-port.ts'
import type { Peer, Policy, Rule } from './model.ts'

/** "TCP/http": what a policy calls a port, and what a pod's number for it is found by. */
export const portWord = (protocol: Transport, name: string): string => `${protocol}/${name}`

/** What of a pod some policy of the cluster asks for, where the pod is the other end. */
export class Mentions {
  readonly labels = new Counted()
  /** Words of ports that are the destination's to number (P19). */
  readonly ports = new Counted()
  readonly serviceAccounts = new Counted()

  add(policy: Policy): void {
    this.#count(policy, 1)
  }

  remove(policy: Policy): void {
    this.#count(policy, -1)
  }

  /** What is asked for since it was not at the last call, or no longer: nothing as a rule. */
  settle(): Changed | undefined {
    const [labels, ports, serviceAccounts] = [this.labels, this.ports, this.serviceAccounts].map(
      (counted) => counted.settle(),
    )
    if (!labels || !ports || !serviceAccounts) return undefined
    if (labels.size + ports.size + serviceAccounts.size === 0) return undefined
    return { labels, ports, hasServiceAccounts: serviceAccounts.size > 0 }
  }

  #count({ rules }: Policy, by: 1 | -1): void {
    for (const rule of rules) {
      for (const peer of rule.peers) this.#countPeer(peer, by)
      for (const word of wordsOf(rule)) this.ports.change(word, by)
    }
  }

  #countPeer(peer: Peer, by: 1 | -1): void {
    if (peer.kind !== 'pods') return
    for (const { of, key } of peer.selector) {
      if (of === 'pod') this.labels.change(key, by)
      if (of === 'service-account') this.serviceAccounts.change('', by)
    }
  }
}

export type Changed = {
  readonly labels: ReadonlySet<string>
  readonly ports: ReadonlySet<string>
  readonly hasServiceAccounts: boolean
}

/** On ingress a port's name is the subject's own, which needs to tell no other pods apart. */
const wordsOf = ({ direction, ports = [] }: Rule): readonly string[] =>
  direction === 'ingress' ? [] : ports.flatMap((port) => wordOf(port) ?? [])

export const wordOf = (port: PolicyPort): string | undefined =>
  port.kind === 'name' ? portWord(port.protocol, port.name) : undefined

class Counted {
  readonly #counts = new Map<string, number>()
  /** Whether it was there before, of all that changed since the last look. */
  readonly #before = new Map<string, boolean>()

  has(word: string): boolean {
    return this.#counts.has(word)
  }

  get size(): number {
    return this.#counts.size
  }

  change(word: string, by: 1 | -1): void {
    const count = this.#counts.get(word) ?? 0
    if (!this.#before.has(word)) this.#before.set(word, count > 0)
    if (count + by === 0) this.#counts.delete(word)
    else this.#counts.set(word, count + by)
  }

  settle(): ReadonlySet<string> {
    const changed = [...this.#before].filter(([word, wasThere]) => wasThere !== this.has(word))
    this.#before.clear()
    return new Set(changed.map(([word]) => word))
  }
}
