import { child, type Field, isAbsent, wrong } from './field.ts'

/** Of a policy that is tried out (`audit`) what it would refuse is logged, and passes. */
export type PolicyMode = (typeof policyModes)[number]
export const policyModes = ['enforce', 'audit'] as const

/** On a policy, or on a namespace for all its policies that do not say themselves. */
export const policyModeAnnotation = 'tulle.dev/policy-mode'

/** A slip is told, and enforces: a policy must not fall silent by it. */
export function readPolicyMode(metadata: Field): { readonly mode?: PolicyMode } {
  const annotations = child(metadata, 'annotations')
  const field = child(annotations, policyModeAnnotation)
  if (isAbsent(field)) return {}
  const mode = policyModes.find((one) => one === field.value)
  return { mode: mode ?? wrong(field, policyModes.join(', ')) ?? 'enforce' }
}
