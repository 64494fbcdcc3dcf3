import { closeSync, openSync } from 'node:fs'
import { isSea } from 'node:sea'
import { setFlagsFromString } from 'node:v8'
import { CallTally } from '../cni/call-tally.ts'
import type { Native } from '../kernel/native.ts'
import type { AgentStatus } from '../serve/agent-status.ts'
import { type HttpServer, type Routes, serveHttp } from '../serve/http-server.ts'
import { LOCK_EX, makeFolder } from '../store/database.ts'
import { CallWorker, type WorkerSource } from './call-worker.ts'
import { systemClock } from './clock.ts'
import { agentHelp, type CommandLine, readCommandLine, UsageRefusal } from './command-line.ts'
import type { AgentConfig } from './config.ts'
import { type Log, makeLog } from './log.ts'
import type { AgentParts } from './parts.ts'
import { missingFeatures } from './preflight.ts'
import { Agent } from './wiring.ts'

export type AgentCall = {
  /** What stands behind `tulle agent`. */
  readonly words: readonly string[]
  readonly version: string
  /** Of this executable alone, and of the launcher that it carries: no blanks in it. */
  readonly build: string
  readonly loadNative: () => Native
  /** What serves launchers: it runs the plugin's code, which the agent does not load. */
  readonly worker: () => WorkerSource
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

async function run(
  { loadNative, version, build, worker }: AgentCall,
  config: AgentConfig,
): Promise<void> {
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
    const calls = config.warm ? serveCalls(agent, { config, native, worker, log }) : undefined
    const status = (): AgentStatus => ({
      ...agent.status(),
      ...(calls ? { calls: calls.counts } : {}),
    })
    const servers = await openServers(agent, config, status)
    stopOnSignals(agent, servers, { log, lockFd, calls })
    agent.start()
    log.info({ version, build, source: config.source }, 'started')
  } catch (refusal) {
    end(log, refusal)
  }
}

const obstacleMilliseconds = 500

type Serving = Pick<AgentParts, 'config' | 'native' | 'log'> & Pick<AgentCall, 'worker'>

/** Launchers are served from the start: what an ADD needs, it finds itself or waits for. */
function serveCalls(agent: Agent, { config, native, worker, log }: Serving): CallWorker {
  const calls = new CallWorker({
    native,
    clock: systemClock,
    worker: worker(),
    tally: new CallTally(),
    socketPath: `${config.runDir}/cni.sock`,
    onBroken: (err) => log.error({ err }, 'calls are served by processes: the worker ended'),
  })
  calls.start()
  setInterval(() => calls.setObstacle(agent.obstacle), obstacleMilliseconds).unref()
  return calls
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

async function openServers(
  agent: Agent,
  config: AgentConfig,
  status: () => AgentStatus,
): Promise<readonly HttpServer[]> {
  const text = 'text/plain; charset=utf-8'
  const health: Routes = {
    '/healthz': () => ({ code: 200, type: text, body: 'ok\n' }),
    '/readyz': () =>
      agent.isReady
        ? { code: 200, type: text, body: 'ready\n' }
        : { code: 503, type: text, body: 'not ready; see "tulle status"\n' },
    '/metrics': () => agent.metrics.answer(status()),
  }
  const all: Routes = {
    ...health,
    '/status': () => ({
      code: 200,
      type: 'application/json',
      body: `${JSON.stringify(status())}\n`,
    }),
  }
  const socket = await serveHttp({ kind: 'unix', path: `${config.runDir}/agent.sock` }, all)
  if (!config.metrics) return [socket]
  return [socket, await serveHttp({ kind: 'tcp', ...config.metrics }, health)]
}

type Ending = { readonly log: Log; readonly lockFd: number; readonly calls: CallWorker | undefined }

function stopOnSignals(
  agent: Agent,
  servers: readonly HttpServer[],
  { log, lockFd, calls }: Ending,
): void {
  let isStopping = false
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    if (isStopping) return
    isStopping = true
    log.info({ signal }, 'stopping; routes and devices stay')
    await Promise.all([calls?.stop(), ...servers.map((server) => server.close())])
    await agent.stop()
    closeSync(lockFd)
    process.exit(0)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, (name) => void stop(name))
}
