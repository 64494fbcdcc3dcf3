import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs'

// The file's header (sqlite.org/fileformat.html 1.3): read as it is, for a third of what it takes a
// process that has just started to ask SQLite for it.
const headerBytes = 100
const pageSizeAt = 16
const writeVersionAt = 18
const readVersionAt = 19
const pageCountAt = 28
const schemaFormatAt = 44
const userVersionAt = 60

/** Undefined for a file without one: a store that is to be made, or was when the power went. */
function readHeader(path: string): Buffer | undefined {
  if (!existsSync(path)) return undefined
  const header = Buffer.alloc(headerBytes)
  const fd = openSync(path, 'r')
  const length = readSync(fd, header)
  closeSync(fd)
  return length === headerBytes ? header : undefined
}

/** SQLite reads a page that is cut as if it ended in zeros. */
function refuseDamage(header: Buffer, path: string): void {
  if (hasOddHeader(header)) throw new CorruptFile(`${path} has an odd header`)
  const pages = header.readUInt32BE(pageCountAt)
  const pageBytes = header.readUInt16BE(pageSizeAt)
  const { size } = statSync(path)
  if (size !== pages * pageBytes)
    throw new CorruptFile(`${path} has ${size} bytes, not ${pages} pages of ${pageBytes}`)
}

/**
 * SQLite takes damage in these bytes for a file that is read-only or of a later format: write and
 * read version, schema format.
 */
function hasOddHeader(header: Buffer): boolean {
  const isVersion = (at: number): boolean => [1, 2].includes(header.readUInt8(at))
  const format = header.readUInt32BE(schemaFormatAt)
  return !isVersion(writeVersionAt) || !isVersion(readVersionAt) || format > 4
}

/** 0 for a file that has nothing yet. */
export function versionIn(path: string): number {
  const header = readHeader(path)
  if (!header) return 0
  refuseDamage(header, path)
  const version = header.readInt32BE(userVersionAt)
  if (version > 0) return version
  throw new CorruptFile(`${path} has tables and an odd version, ${version}`)
}

export function isDamaged(path: string): boolean {
  const header = readHeader(path)
  return header ? hasOddHeader(header) : existsSync(path) && statSync(path).size > 0
}

export const SQLITE_CORRUPT = 11

/** What we find damaged ourselves, beside what SQLite finds. */
export class CorruptFile extends Error {
  override name = 'CorruptFile'
  readonly errcode = SQLITE_CORRUPT
}
