// What somebody else's server or file sent, of which nothing is known yet.

export type JsonObject = { readonly [key: string]: unknown }

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** What an object has under its own key; of anything else, and of inherited keys, nothing. */
export const fieldOf = (value: unknown, key: string): unknown =>
  isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined

/** Walks down own keys: `at(node, 'spec', 'podCIDR')`. */
export const at = (value: unknown, ...keys: readonly string[]): unknown =>
  keys.reduce<unknown>(fieldOf, value)

export const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' ? value : undefined

export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

const shownCharactersMax = 80

/** A value in a message to people: JSON of scalars, cut; only the kind of anything nested. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'an object'
  if (typeof value !== 'string') return String(value)
  const text = value.slice(0, shownCharactersMax)
  return JSON.stringify(text) + (text.length < value.length ? '…' : '')
}
