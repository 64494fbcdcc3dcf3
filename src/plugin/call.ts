import { readSync, writeSync } from 'node:fs'
import { versionOf } from '../cni/config.ts'
import { parseEnvironment } from '../cni/environment.ts'
import { code, fault, formatFault } from '../cni/fault.ts'
import { newestVersion } from '../cni/version.ts'
import type { Native } from '../kernel/native.ts'
import { type Call, readCall } from './context.ts'
import { explain } from './explain.ts'

/** What a verb does; what it prints on success, if anything. */
export type Work = (call: Call) => string | undefined

/** One CNI call, from the environment and standard input to standard output; the exit code. */
export function answerCall(native: Native, work: Work): 0 | 1 {
  let input = ''
  try {
    const environment = parseEnvironment(process.env)
    input = readInput()
    print(work(readCall(native, environment, input)))
    return 0
  } catch (refusal) {
    print(formatFault(versionOf(input) ?? newestVersion, explain(refusal)))
    return 1
  }
}

/** A configuration is a few kilobytes; what is larger is not one. */
const inputBytesMax = 16 * 1024 * 1024

function readInput(): string {
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

/** Writes all of it, also where the reader is slow and the pipe does not block. */
function print(text: string | undefined): void {
  if (text === undefined) return
  let rest = Buffer.from(`${text}\n`)
  while (rest.length > 0)
    try {
      rest = rest.subarray(writeSync(1, rest))
    } catch (refusal) {
      if ((refusal as NodeJS.ErrnoException).code !== 'EAGAIN') return
    }
}
