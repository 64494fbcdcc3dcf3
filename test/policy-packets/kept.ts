import type { Cluster } from '../../src/policy/model.ts'

/**
 * What did not change between two clusters is the same object in both, as in an agent's memory:
 * what compiles only differences is tried as it is used.
 */
export class Kept {
  readonly #known = new Map<string, unknown>()

  cluster({ namespaces, pods, nodes, policies }: Cluster): Cluster {
    return {
      namespaces: new Map([...namespaces].map(([name, one]) => [name, this.#same(one)])),
      pods: pods.map((one) => this.#same(one)),
      nodes: nodes.map((one) => this.#same(one)),
      policies: policies.map((one) => this.#same(one)),
    }
  }

  #same<T>(value: T): T {
    const key = JSON.stringify(value, (_, part) =>
      typeof part === 'bigint' ? `${part}n` : part instanceof Map ? [...part] : part,
    )
    const known = this.#known.get(key)
    if (known !== undefined) return known as T
    this.#known.set(key, value)
    return value
  }
}
