import { type Json, told } from './answers.ts'
import type { Pod } from './bench.ts'
import type { Case, Examination, Findings } from './case.ts'

export type Added = Examination & {
  readonly conf: Json
  readonly pod: Pod
  readonly result: Json
}

/** Adds a pod; what is examined is what comes then. */
export const afterAdd =
  (examine: (added: Added) => Findings): Case['examine'] =>
  ({ bench, version }) => {
    const conf = bench.conf(version)
    const pod = bench.makePod(conf)
    const { ran, result } = bench.add(pod, conf)
    return result ? examine({ bench, version, conf, pod, result }) : [`ADD: ${told(ran)}`]
  }
