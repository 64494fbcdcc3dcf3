import { readSync, writeSync } from 'node:fs'
import { code, fault } from '../cni/fault.ts'

/** A configuration is a few kilobytes; what is larger is not one. */
const inputBytesMax = 16 * 1024 * 1024

/** Standard input to its end. */
export function readInput(): string {
  const chunks: Buffer[] = []
  let length = 0
  for (;;) {
    const chunk = Buffer.alloc(64 * 1024)
    const count = readChunk(chunk)
    if (count === 0) return Buffer.concat(chunks).toString('utf8')
    chunks.push(chunk.subarray(0, count))
    length += count
    if (length > inputBytesMax)
      throw fault(
        code.io,
        'standard input is too long',
        `more than ${inputBytesMax} bytes came; a configuration has a few thousand`,
      )
  }
}

function readChunk(chunk: Buffer): number {
  try {
    return readSync(0, chunk)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    if ((cause as NodeJS.ErrnoException).code === 'EOF') return 0
    throw fault(
      code.io,
      'cannot read standard input',
      `${reason}; pass the network configuration there`,
    )
  }
}

/** Writes all of it, also where the pipe does not block; false if nobody can read it. */
export function print(text: string | undefined): boolean {
  if (text === undefined) return true
  let rest = Buffer.from(`${text}\n`)
  while (rest.length > 0)
    try {
      rest = rest.subarray(writeSync(1, rest))
    } catch (refusal) {
      if ((refusal as NodeJS.ErrnoException).code !== 'EAGAIN') return false
    }
  return true
}

/**
 * A line on standard error, or nothing if nobody takes it. Not `process.stderr`: Node loads 5 ms of
 * stream modules when it is first named.
 */
export function printNote(text: string): void {
  try {
    writeSync(2, `tulle: ${text}\n`)
  } catch {}
}
