import { readSync, writeSync } from 'node:fs'
import { versionOf } from '../cni/config.ts'
import { parseEnvironment, type Verb } from '../cni/environment.ts'
import { code, fault, formatFault } from '../cni/fault.ts'
import { formatVersions, newestVersion } from '../cni/version.ts'
import { loadNative, type Native } from '../kernel/native.ts'
import { add } from './add.ts'
import { check } from './check.ts'
import { type Call, readCall } from './context.ts'
import { del } from './del.ts'
import { explain } from './explain.ts'
import { gc } from './gc.ts'
import { status } from './status.ts'

/** What a verb prints on success; all but ADD and VERSION print nothing. */
const verbs: Readonly<Record<Exclude<Verb, 'VERSION'>, (call: Call) => string | undefined>> = {
  ADD: add,
  DEL: (call) => void del(call),
  CHECK: (call) => void check(call),
  STATUS: (call) => void status(call),
  GC: (call) => void gc(call),
}

/** Ends the process; what comes before it (the build's code cache) is the caller's. */
export type End = () => never

/** One CNI call, from the environment and standard input to standard output. */
export function main(): End {
  let input = ''
  let native: Native | undefined
  try {
    native = loadNative()
    const environment = parseEnvironment(process.env)
    input = readInput()
    print(environment.verb === 'VERSION' ? formatVersions() : answer(native, environment, input))
  } catch (refusal) {
    print(formatFault(versionOf(input) ?? newestVersion, explain(refusal)))
    return endWith(native, 1)
  }
  return endWith(native, 0)
}

/** _exit(2) where the native part was to be had: the engine's own farewell takes 1 to 4 ms. */
const endWith =
  (native: Native | undefined, number: 0 | 1): End =>
  () =>
    native ? native.exit(number) : process.exit(number)

function answer(
  native: Native,
  environment: ReturnType<typeof parseEnvironment>,
  input: string,
): string | undefined {
  const verb = environment.verb
  return verb === 'VERSION' ? undefined : verbs[verb](readCall(native, environment, input))
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
