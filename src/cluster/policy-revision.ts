import { at, fieldOf, isObject, listOf, textOf } from './json-value.ts'

/** On a Node, by its agent: resourceVersions up to which its kernel enforces policies, as JSON. */
export const policyRevisionAnnotation = 'tulle.dev/policy-revision'

/** By the plural of the kind: `{ "networkpolicies": "12345" }`. */
export type PolicyRevisions = Readonly<Record<string, string>>

/** On the Node a kind may go by its own name. */
const plurals: ReadonlyMap<string, string> = new Map([
  ['NetworkPolicy', 'networkpolicies'],
  ['CiliumNetworkPolicy', 'ciliumnetworkpolicies'],
])
export const pluralOf = (kind: string): string => plurals.get(kind) ?? kind

export type EnforcingNode = {
  readonly name: string
  /** The kubelet says so, and the control plane hears it. */
  readonly isReady: boolean
  /** Absent: no agent has ever told of it. */
  readonly revisions?: PolicyRevisions
}

export function decodeEnforcingNode(object: unknown): EnforcingNode | undefined {
  const name = textOf(at(object, 'metadata', 'name'))
  if (name === undefined) return undefined
  const ready = listOf(at(object, 'status', 'conditions')).find(
    (condition) => fieldOf(condition, 'type') === 'Ready',
  )
  const isReady = fieldOf(ready, 'status') === 'True'
  const annotation = at(object, 'metadata', 'annotations', policyRevisionAnnotation)
  const revisions = revisionsIn(textOf(annotation) ?? '')
  return { name, isReady, ...(revisions ? { revisions } : {}) }
}

/** Somebody else may have written it: what is no object of texts tells nothing. */
function revisionsIn(text: string): PolicyRevisions | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (!isObject(value)) return undefined
    const entries = Object.entries(value).flatMap(([key, one]) =>
      typeof one === 'string' ? [[pluralOf(key), one] as const] : [],
    )
    return Object.fromEntries(entries)
  } catch {
    return undefined
  }
}

/** As Kubernetes has made them comparable (KEP-5504): a number without sign and leading zeros. */
const isComparable = (revision: string): boolean => /^(0|[1-9]\d*)$/.test(revision)

/** Whether what was seen up to a revision has the wanted one in it. */
export function hasReached(enforced: string | undefined, wanted: string): boolean {
  if (enforced === undefined) return false
  if (!isComparable(enforced) || !isComparable(wanted)) return enforced === wanted
  return BigInt(enforced) >= BigInt(wanted)
}

/** The latest, which stands for all others; of those that can't be compared each one. */
export function latestOf(revisions: readonly string[]): readonly string[] {
  const numbers = revisions.filter(isComparable)
  const others = revisions.filter((one) => !isComparable(one))
  const [first, ...rest] = numbers
  if (first === undefined) return [...new Set(others)]
  const latest = rest.reduce((top, one) => (hasReached(one, top) ? one : top), first)
  return [latest, ...new Set(others)]
}
