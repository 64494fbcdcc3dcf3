import { child, type Decoded, rootField } from './field.ts'
import { type Labels, readLabels, readName } from './metadata.ts'
import { type PolicyMode, readPolicyMode } from './policy-mode.ts'

export type Namespace = {
  readonly name: string
  readonly labels: Labels
  /** How its policies are meant that do not say themselves. */
  readonly mode?: PolicyMode
}

/** Every namespace carries it, with its name for a value; nobody can change it (P17). */
export const namespaceNameLabel = 'kubernetes.io/metadata.name'

export const namespaceOf = (name: string, labels: Labels = new Map()): Namespace => ({
  name,
  labels: new Map([...labels, [namespaceNameLabel, name]]),
})

export function decodeNamespace(object: unknown): Decoded<Namespace> {
  const field = rootField(object)
  const metadata = child(field, 'metadata')
  const name = readName(child(metadata, 'name'))
  const labels = readLabels(child(metadata, 'labels'))
  const mode = readPolicyMode(metadata)
  const { problems } = field
  const value = name === undefined ? undefined : { ...namespaceOf(name, labels), ...mode }
  return { value, problems }
}
