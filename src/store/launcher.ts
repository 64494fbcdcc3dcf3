import { readFileSync, statSync } from 'node:fs'

// The launcher (kernel/native/launcher.h, struct places): a small static file, with a mark and two
// paths behind it that the one who installs it writes.

/** What it executes, and the socket of the agent that it asks first. */
export type LauncherPlaces = { readonly executable: string; readonly socket: string }

/** Its release is in between: "CNI tulle plugin v0.1.0 launcher". */
const mark = /CNI tulle plugin v[^\0 ]+ launcher\0/
const markBytes = 64
const pathBytes = 256
/** sockaddr_un of linux/un.h: 108 bytes, the last a NUL. */
const socketBytesMax = 107
/** More than a launcher ever has: what is larger is not read. */
const launcherBytesMax = 65_536

/** A relative path, or one that is too long: in words, with what would fit. Undefined: they fit. */
export function unfitPlaces({ executable, socket }: LauncherPlaces): string | undefined {
  return unfitPath(executable, pathBytes - 1) ?? unfitPath(socket, socketBytesMax)
}

function unfitPath(path: string, bytesMax: number): string | undefined {
  if (!path.startsWith('/'))
    return `${path}: the launcher runs in any folder, so it needs a path that starts with "/"`
  if (path.includes('\0')) return `${JSON.stringify(path)}: no path has a NUL in it`
  const bytes = Buffer.byteLength(path)
  return bytes > bytesMax
    ? `${path}: ${bytes} bytes, and the launcher holds ${bytesMax} here; take a shorter folder`
    : undefined
}

/** The launcher with its paths; they fit (`unfitPlaces`). */
export function placedLauncher(launcher: Uint8Array, places: LauncherPlaces): Uint8Array {
  const bytes = Buffer.from(launcher)
  const at = placesAt(bytes)
  if (at === undefined) throw new Error('Cannot write paths: these are not the bytes of a launcher')
  for (const [index, path] of [places.executable, places.socket].entries())
    bytes
      .fill(0, at + index * pathBytes, at + (index + 1) * pathBytes)
      .write(path, at + index * pathBytes)
  return bytes
}

/** Whose file it is; undefined: no launcher, or no file. */
export function readLauncher(path: string): LauncherPlaces | undefined {
  const found = statSync(path, { throwIfNoEntry: false })
  if (!found?.isFile() || found.size > launcherBytesMax) return undefined
  const bytes = readFileSync(path)
  const at = placesAt(bytes)
  if (at === undefined) return undefined
  return { executable: textAt(bytes, at), socket: textAt(bytes, at + pathBytes) }
}

/** Where the two paths start. */
function placesAt(bytes: Buffer): number | undefined {
  const at = mark.exec(bytes.toString('latin1'))?.index
  if (at === undefined || at + markBytes + 2 * pathBytes > bytes.length) return undefined
  return at + markBytes
}

function textAt(bytes: Buffer, at: number): string {
  const field = bytes.subarray(at, at + pathBytes)
  const end = field.indexOf(0)
  return field.toString('utf8', 0, end === -1 ? pathBytes : end)
}
