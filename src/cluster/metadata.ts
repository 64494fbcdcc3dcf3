import { child, entriesOf, type Field, isAbsent, wrong } from './field.ts'
import { isNodeName } from './node-name.ts'

/** Compared by key; a plain object would have inherited ones. */
export type Labels = ReadonlyMap<string, string>

export type Metadata = {
  readonly namespace: string
  readonly name: string
  readonly labels: Labels
}

/** Where an object goes whose manifest names no namespace. */
const defaultNamespace = 'default'
const namespaceName = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/

/** Without a name that could be one, nothing. */
export function readMetadata(object: Field): Metadata | undefined {
  const metadata = child(object, 'metadata')
  const name = readName(child(metadata, 'name'))
  const namespace = readNamespace(child(metadata, 'namespace'))
  const labels = readLabels(child(metadata, 'labels'))
  return name === undefined || namespace === undefined ? undefined : { namespace, name, labels }
}

export function readName(field: Field): string | undefined {
  const { value } = field
  if (typeof value === 'string' && isNodeName(value)) return value
  return wrong(field, 'a name of lower-case letters, digits, "-" and "."')
}

export const isNamespaceName = (text: string): boolean => namespaceName.test(text)

function readNamespace(field: Field): string | undefined {
  if (isAbsent(field) || field.value === '') return defaultNamespace
  if (typeof field.value === 'string' && isNamespaceName(field.value)) return field.value
  return wrong(field, 'a name of lower-case letters, digits and "-", 63 at most')
}

export function readLabels(field: Field): Labels {
  return new Map(
    entriesOf(field).flatMap(([key, value]) => {
      const text = readLabelValue(value)
      return text === undefined ? [] : [[key, text] as const]
    }),
  )
}

const readLabelValue = (field: Field): string | undefined =>
  typeof field.value === 'string' ? field.value : wrong(field, 'a text; numbers need quotes')
