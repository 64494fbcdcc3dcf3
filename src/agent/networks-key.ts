import { isNetwork, type Prefix, parsePrefix } from '../base/prefix.ts'

/** A list of networks as a key or a flag has it; undefined if one of them is none. */
export function readNetworks(texts: unknown): readonly Prefix[] | undefined {
  if (!Array.isArray(texts)) return undefined
  const read = texts.map((text: unknown) => parsePrefix(typeof text === 'string' ? text : ''))
  const good = read.flatMap((prefix) => (prefix && isNetwork(prefix) ? [prefix] : []))
  return good.length === read.length ? good : undefined
}
