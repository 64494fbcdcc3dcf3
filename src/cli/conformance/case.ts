import type { CniVersion } from '../../cni/version.ts'
import type { Bench } from './bench.ts'

/** Whose rule it is: the specification's, the runtimes' (libcni, go-cni), or good practice. */
export type Basis = 'specification' | 'runtimes' | 'practice'

/**
 * What a plugin is: it makes the interface, or only says which addresses it gets, or changes what
 * the plugin before it in a chain has made, or sees to `lo`.
 */
export type Kind = 'interface' | 'ipam' | 'chained' | 'loopback'

export type Examination = { readonly bench: Bench; readonly version: CniVersion }

/** What is wrong, in sentences that name what was found; none: passed. */
export type Findings = readonly string[]
export type NotApplicable = { readonly notApplicable: string }

export type Case = {
  readonly name: string
  /** The rule, as a statement that holds or does not. */
  readonly text: string
  readonly basis: Basis
  /** Under each version of the specification, or under the newest one that the plugin knows. */
  readonly scope: 'versions' | 'once'
  /** The first and the last version that it applies to. */
  readonly since?: CniVersion
  readonly until?: CniVersion
  /** The kinds that it applies to; left out, all. */
  readonly kinds?: readonly Kind[]
  /** Asks for no pod: holds for versions too under which there are no chains. */
  readonly withoutPod?: true
  readonly examine: (examination: Examination) => Findings | NotApplicable
}

export type Outcome = {
  readonly case: Case
  readonly version: CniVersion
  readonly verdict: 'pass' | 'fail' | 'not applicable'
  /** Findings of a fail, the reason of a not applicable. */
  readonly reasons: readonly string[]
}
