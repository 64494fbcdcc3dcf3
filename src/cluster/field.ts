import { fieldOf, isObject, shown } from './json-value.ts'
import type { FileProblem } from './nodes-file.ts'

/**
 * What is not as it should be in one object. `wrong`: an API server would not take it. `refused`:
 * it may be right, but Tulle does not do it, and what it would allow is not allowed.
 */
export type FieldProblem = FileProblem & { readonly kind: 'wrong' | 'refused' }

/** A value of an object that somebody else wrote, its place, and where to tell what is wrong. */
export type Field = {
  /** "spec.ingress[0].from" */
  readonly path: string
  readonly value: unknown
  readonly problems: FieldProblem[]
}

/** What could be read; without what the whole can't do without there is no value. */
export type Decoded<Value> = {
  readonly value: Value | undefined
  readonly problems: readonly FieldProblem[]
}

/** What is wrong in a hostile object is told by its first few places. */
const problemsMax = 50

export const rootField = (value: unknown): Field => ({ path: '', value, problems: [] })

/** Of what is not an object, an absent field. */
export const child = ({ path, value, problems }: Field, key: string): Field => ({
  path: path === '' ? shownKey(key) : `${path}.${shownKey(key)}`,
  value: fieldOf(value, key),
  problems,
})

const shownKey = (key: string): string => (/^[\w./:-]{1,100}$/.test(key) ? key : shown(key))

/** JSON's null is an absent field, as the API server has it. */
export const isAbsent = ({ value }: Field): boolean => value === undefined || value === null

export const wrong = (field: Field, accepted: string): undefined => tell(field, 'wrong', accepted)

export const refuse = (field: Field, instead: string): undefined => tell(field, 'refused', instead)

function tell({ path, value, problems }: Field, kind: FieldProblem['kind'], accepted: string) {
  if (problems.length >= problemsMax) return undefined
  const found = value === undefined ? 'absent' : shown(value)
  problems.push({ kind, path: path === '' ? 'the object' : path, found, accepted })
  return undefined
}

/** The items of a list; none of an absent one. */
export function itemsOf(field: Field): readonly Field[] {
  const { path, value, problems } = field
  if (isAbsent(field)) return []
  if (!Array.isArray(value)) return wrong(field, 'a list') ?? []
  return value.map((item: unknown, index) => ({ path: `${path}[${index}]`, value: item, problems }))
}

/** The fields of an object; none of an absent one. */
export function entriesOf(field: Field): readonly (readonly [string, Field])[] {
  if (isAbsent(field)) return []
  if (!isObject(field.value)) return wrong(field, 'an object') ?? []
  return Object.keys(field.value).map((key) => [key, child(field, key)] as const)
}

/** Refuses what stands there under other keys: a slip, or something newer than Tulle. */
export function areKnown(field: Field, keys: readonly string[]): boolean {
  const others = entriesOf(field).filter(([key, one]) => !keys.includes(key) && !isAbsent(one))
  for (const [, other] of others) refuse(other, `nothing but ${keys.join(', ')}`)
  return others.length === 0
}

/** Text that is not empty; `undefined` where there is none, which is told if it is needed. */
export function textIn(field: Field, need: 'needed' | 'optional'): string | undefined {
  if (need === 'optional' && isAbsent(field)) return undefined
  const { value } = field
  return typeof value === 'string' && value !== '' ? value : wrong(field, 'a text')
}

/** A list of which every item could be read, or nothing. */
export function allOf<Value>(read: readonly (Value | undefined)[]): readonly Value[] | undefined {
  const values = read.filter((value) => value !== undefined)
  return values.length === read.length ? values : undefined
}
