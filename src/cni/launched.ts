import type { Variables } from './environment.ts'

/** The protocol between launcher and worker: both ends of a node's files are of one build. */
const protocol = 'tulle-cni 1'

/** A CNI call as a launcher passes it on. */
export type Launched = {
  /** Of the executable that the launcher would start instead. */
  readonly build: string
  /** How many descriptors came with it: its own namespace, the pod's, a socket in that. */
  readonly descriptors: number
  /** Why the pod's namespace or the socket is not among them; 0 if there is none to be had. */
  readonly errno: number
  /** What it was called by: argv[0]. */
  readonly name: string
  readonly variables: Variables
  /** Standard input. */
  readonly input: string
}

/**
 * Reads a launcher's first packet: "tulle-cni 1 BUILD DESCRIPTORS ERRNO\n", argv[0] and variables,
 * each ended by a NUL, one empty text, and standard input. Undefined if it is anything else.
 */
export function parseLaunched(packet: Uint8Array): Launched | undefined {
  const headerEnd = packet.indexOf(lineFeed)
  const header = /^(.+) (\S+) ([0-3]) (\d{1,4})$/.exec(textOf(packet, 0, Math.max(headerEnd, 0)))
  if (header?.[1] !== protocol) return undefined
  const words: string[] = []
  let at = headerEnd + 1
  for (let end = packet.indexOf(0, at); end > at; end = packet.indexOf(0, at)) {
    words.push(textOf(packet, at, end))
    at = end + 1
  }
  const [name, ...pairs] = words
  if (name === undefined || packet[at] !== 0) return undefined
  return {
    build: header[2] ?? '',
    descriptors: Number(header[3]),
    errno: Number(header[4]),
    name,
    variables: Object.fromEntries(pairs.map(pairOf)),
    input: textOf(packet, at + 1, packet.length),
  }
}

const lineFeed = 10
const decoder = new TextDecoder()
const textOf = (packet: Uint8Array, from: number, to: number): string =>
  decoder.decode(packet.subarray(from, to))

function pairOf(text: string): readonly [string, string] {
  const at = text.indexOf('=')
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}
