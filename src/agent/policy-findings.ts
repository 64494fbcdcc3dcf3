import { explainFileProblem } from '../cluster/nodes-file.ts'
import type { Found } from './findings.ts'
import type { OddPolicy, PolicyKind } from './policy-book.ts'

const apiVersions: Readonly<Record<PolicyKind, string>> = {
  NetworkPolicy: 'networking.k8s.io/v1',
  CiliumNetworkPolicy: 'cilium.io/v2',
}

/** Of one policy the first places tell enough. */
const placesMax = 5

/** What is not in force of a policy, and where that stands in it. */
export const oddPolicies = (odd: Iterable<OddPolicy>): readonly Found[] =>
  [...odd].map(({ kind, namespace, name, uid, problems }) => {
    const isRefused = problems.every((problem) => problem.kind === 'refused')
    const places = problems.slice(0, placesMax).map(explainFileProblem).join('; ')
    const more = problems.length > placesMax ? ` (and ${problems.length - placesMax} more)` : ''
    return {
      check: isRefused ? 'policy-refused' : 'policy-wrong',
      subject: `${kind} ${namespace}/${name}`,
      severity: 'warning',
      meaning: `${kind} ${namespace}/${name}: ${places}${more}`,
      remedy: isRefused
        ? 'Tulle does not do that: what it would allow is not allowed; say it without'
        : 'correct it: a rule that can not be read allows nothing, and what it denies is denied',
      ...(uid === ''
        ? {}
        : { object: { apiVersion: apiVersions[kind], kind, namespace, name, uid } }),
    }
  })

export const silentPolicySource = (problems: readonly string[]): readonly Found[] =>
  problems.map((text) => ({
    check: 'policy-source',
    subject: 'policies',
    severity: 'warning',
    meaning: text,
    remedy: 'policies that were last known stay in force; mend the source',
  }))
