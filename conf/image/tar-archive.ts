import { Buffer } from 'node:buffer'

/** One entry; paths without a slash at either end. All are of root and of 1970-01-01. */
export type TarEntry =
  | { readonly kind: 'folder'; readonly path: string; readonly mode: number }
  | { readonly kind: 'file'; readonly path: string; readonly mode: number; readonly bytes: Buffer }

const blockBytes = 512

/**
 * A POSIX archive (ustar, pax(1)) whose bytes follow from its entries alone: no owner, no time and
 * no order of a file system. Throws on a path of more than 100 bytes.
 */
export function tarArchive(entries: readonly TarEntry[]): Buffer {
  const parts = entries.flatMap((entry) => {
    const bytes = entry.kind === 'file' ? entry.bytes : Buffer.alloc(0)
    return [header(entry, bytes.length), bytes, padding(bytes.length)]
  })
  return Buffer.concat([...parts, Buffer.alloc(2 * blockBytes)])
}

const padding = (length: number): Buffer =>
  Buffer.alloc((blockBytes - (length % blockBytes)) % blockBytes)

const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0')

function header({ kind, path, mode }: TarEntry, length: number): Buffer {
  const name = kind === 'folder' ? `${path}/` : path
  if (Buffer.byteLength(name) > 100) throw new Error(`Cannot pack ${name}: longer than 100 bytes`)
  const block = Buffer.alloc(blockBytes)
  block.write(name, 0)
  block.write(`${octal(mode, 7)}\0`, 100)
  block.write(`${octal(0, 7)}\0${octal(0, 7)}\0`, 108) // user, group
  block.write(`${octal(length, 11)}\0${octal(0, 11)}\0`, 124) // size, time
  block.write(kind === 'folder' ? '5' : '0', 156)
  block.write('ustar\x0000', 257)
  // The sum is taken over a header whose own field is blanks.
  block.fill(' ', 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${octal(sum, 6)}\0 `, 148)
  return block
}
