import { closeSync, openSync } from 'node:fs'
import { isSea } from 'node:sea'
import { setFlagsFromString } from 'node:v8'
import type { Native } from '../kernel/native.ts'
import { type HttpServer, type Routes, serveHttp } from '../serve/http-server.ts'
import { LOCK_EX, makeFolder } from '../store/database.ts'
import { systemClock } from './clock.ts'
import { agentHelp, type CommandLine, readCommandLine, UsageRefusal } from './command-line.ts'
import type { AgentConfig } from './config.ts'
import { type Log, makeLog } from './log.ts'
import { missingFeatures } from './preflight.ts'
import { Agent } from './wiring.ts'

export type AgentCall = {
  /** What stands behind `tulle agent`. */
  readonly words: readonly string[]
  readonly version: string
  readonly loadNative: () => Native
}

/**
 * Most of what the agent makes lives for a moment (a message, an event): a small nursery, and a
 * heap that is given back. At 5,000 nodes 115 MB resident instead of up to 200.
 */
const memoryFlags = ['--max-semi-space-size=2', '--optimize-for-size']

/** Runs until SIGTERM or SIGINT. */
export function main(call: AgentCall): void {
  for (const flag of memoryFlags) setFlagsFromString(flag)
  const line = readWords(call)
  if (line.kind === 'help') process.stdout.write(agentHelp())
  else void run(call, line.config)
}

function readWords({ words }: AgentCall): CommandLine {
  try {
    return readCommandLine(words, process.env)
  } catch (refusal) {
    if (!(refusal instanceof UsageRefusal)) throw refusal
    process.stderr.write(`tulle agent: ${refusal.message}\n`)
    return process.exit(2)
  }
}

async function run({ loadNative, version }: AgentCall, config: AgentConfig): Promise<void> {
  const log = makeLog(config.logLevel, config.nodeName)
  try {
    const native = loadNative()
    refuseKernel(native)
    const lockFd = takePlace(native, config.runDir)
    const agent = new Agent({
      config,
      native,
      clock: systemClock,
      random: Math.random,
      log,
      version,
      isPackaged: isSea(),
    })
    const servers = await openServers(agent, config)
    stopOnSignals(agent, servers, { log, lockFd })
    agent.start()
    log.info({ version, source: config.source }, 'started')
  } catch (refusal) {
    end(log, refusal)
  }
}

/** Refuses to start: the text says what is missing. Nothing has been done to the kernel yet. */
function end(log: Log, refusal: unknown): never {
  log.fatal(refusal instanceof Error ? refusal.message : String(refusal))
  process.exit(1)
}

function refuseKernel(native: Native): void {
  const missing = missingFeatures(native)
  if (missing.length > 0) throw new Error(`Cannot start: ${missing.join('; ')}`)
}

/** An agent that is being replaced has a second to end. */
const placeWaitMilliseconds = 5_000

/** Two agents would undo each other's work: one a node, by a lock that ends with the process. */
function takePlace(native: Native, runDir: string): number {
  makeFolder(runDir)
  const fd = openSync(`${runDir}/agent.lock`, 'a', 0o600)
  if (native.lock(fd, LOCK_EX, placeWaitMilliseconds) === 0) return fd
  closeSync(fd)
  throw new Error(
    `Cannot start: another agent holds ${runDir}/agent.lock; stop it first, or give this one ` +
      'another runDir if it is of another node',
  )
}

async function openServers(agent: Agent, config: AgentConfig): Promise<readonly HttpServer[]> {
  const text = 'text/plain; charset=utf-8'
  const health: Routes = {
    '/healthz': () => ({ code: 200, type: text, body: 'ok\n' }),
    '/readyz': () =>
      agent.isReady
        ? { code: 200, type: text, body: 'ready\n' }
        : { code: 503, type: text, body: 'not ready; see "tulle status"\n' },
    '/metrics': () => agent.metrics.answer(agent.status()),
  }
  const status: Routes = {
    ...health,
    '/status': () => ({
      code: 200,
      type: 'application/json',
      body: `${JSON.stringify(agent.status())}\n`,
    }),
  }
  const socket = await serveHttp({ kind: 'unix', path: `${config.runDir}/agent.sock` }, status)
  if (!config.metrics) return [socket]
  return [socket, await serveHttp({ kind: 'tcp', ...config.metrics }, health)]
}

type Ending = { readonly log: Log; readonly lockFd: number }

function stopOnSignals(
  agent: Agent,
  servers: readonly HttpServer[],
  { log, lockFd }: Ending,
): void {
  let isStopping = false
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    if (isStopping) return
    isStopping = true
    log.info({ signal }, 'stopping; routes and devices stay')
    await Promise.all(servers.map((server) => server.close()))
    await agent.stop()
    closeSync(lockFd)
    process.exit(0)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, (name) => void stop(name))
}
