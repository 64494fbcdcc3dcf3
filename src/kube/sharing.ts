import type { Address } from '../base/address.ts'
import type { Labels } from '../cluster/metadata.ts'
import type { Pod } from '../cluster/pod.ts'

/** Different values of a kind; a cluster that has more of them starts anew, and shares less. */
const valuesMax = 50_000

/**
 * Equal parts of pods as one: those of one ReplicaSet have their labels and ports in common, those
 * of one node its addresses. Of 10,000 pods that is most of the memory.
 */
export class Sharing {
  readonly #texts = new Map<string, string>()
  readonly #labels = new Map<string, Labels>()
  readonly #ports = new Map<string, Pod['ports']>()
  readonly #addresses = new Map<string, readonly Address[]>()

  podOf(pod: Pod): Pod {
    const { namespace, labels, ports, hostAddresses, serviceAccount, node } = pod
    return {
      ...pod,
      namespace: this.textOf(namespace),
      labels: this.#labelsOf(labels),
      ports: shared(
        this.#ports,
        ports.map(({ protocol, port, name = '' }) => `${protocol} ${port} ${name}`).join('\n'),
        () => ports,
      ),
      hostAddresses: shared(
        this.#addresses,
        hostAddresses.map(({ family, value }) => `${family} ${value}`).join('\n'),
        () => hostAddresses,
      ),
      serviceAccount: this.textOf(serviceAccount),
      ...(node === undefined ? {} : { node: this.textOf(node) }),
    }
  }

  textOf(text: string): string {
    return shared(this.#texts, text, () => text)
  }

  /** Line feeds and spaces are in neither keys nor values. */
  #labelsOf(labels: Labels): Labels {
    const key = [...labels].map((pair) => pair.join(' ')).join('\n')
    return shared(
      this.#labels,
      key,
      () => new Map([...labels].map(([name, value]) => [this.textOf(name), this.textOf(value)])),
    )
  }
}

function shared<Value>(values: Map<string, Value>, key: string, make: () => Value): Value {
  const found = values.get(key)
  if (found !== undefined) return found
  if (values.size >= valuesMax) values.clear()
  const made = make()
  values.set(key, made)
  return made
}
