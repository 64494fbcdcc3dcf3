import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { type Call, decodeCall, encodeJob, type Job } from './job.ts'

/** Its words when it gave up, beside the calls it had made by then. */
export type Measured = { readonly calls: readonly Call[]; readonly fault?: string }

/** Runs a job; `seen` hears every call as soon as its round is over. */
export async function measure(
  harness: string,
  job: Job,
  seen: (call: Call) => void,
  signal: AbortSignal,
): Promise<Measured> {
  // SIGKILL: the harness has nothing to tidy, its namespaces and mounts end with it.
  const child = spawn(harness, [], { stdio: 'pipe', env: {}, signal, killSignal: 'SIGKILL' })
  const ended = endOf(child)
  child.stdin.end(encodeJob(job))
  const calls: Call[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    const call = decodeCall(line)
    calls.push(call)
    seen(call)
  }
  const fault = await ended
  signal.throwIfAborted()
  return fault === '' ? { calls } : { calls, fault }
}

/** Empty when it ended well. */
function endOf(child: ChildProcessWithoutNullStreams): Promise<string> {
  let words = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    words += text
  })
  return new Promise((resolve) => {
    child.once('error', (fault) => resolve(fault.message))
    child.once('close', (code, signal) => {
      resolve(code === 0 ? '' : words.trim() || `harness ended with ${code ?? signal}`)
    })
  })
}
