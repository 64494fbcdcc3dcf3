/**
 * Ends an exhaustive switch: a case that nobody handled is a type error here, and a bug at run
 * time.
 */
export function unreachable(value: never): never {
  throw new Error(`Cannot happen: unhandled ${JSON.stringify(value)}`)
}
