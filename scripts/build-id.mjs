// @ts-check
// The name of a build: what the launcher says to the agent, so that they are of one executable.
import { createHash } from 'node:crypto'

/**
 * `<version>+<12 hex digits>` of everything the executable is made of: each piece by its name, in
 * whatever order they are given. Two builds of the same sources by the same Node have the same.
 * @param {string} version
 * @param {Readonly<Record<string, string | Uint8Array>>} pieces
 */
export function buildIdOf(version, pieces) {
  const digest = createHash('sha256')
  for (const [name, content] of Object.entries(pieces).sort(([left], [right]) =>
    left < right ? -1 : 1,
  )) {
    const bytes = Buffer.from(content)
    // Lengths keep apart what would be the same text, one piece behind the other.
    digest.update(`${Buffer.byteLength(name)} ${bytes.length}\n${name}`).update(bytes)
  }
  return `${version}+${digest.digest('hex').slice(0, 12)}`
}
