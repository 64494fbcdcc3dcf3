import { rmSync } from 'node:fs'
import { dirname } from 'node:path/posix'
import { getAsset, isSea } from 'node:sea'
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { CallTally } from '../../cni/call-tally.ts'
import { loadNative } from '../../kernel/native.ts'
import { KernelRefusal } from '../../kernel/refusal.ts'
import { rehearse, type Script } from './rehearsal.ts'
import { CallServer } from './server.ts'

export type WorkerData = {
  /** Where launchers find it. */
  readonly socketPath: string
  readonly build: string
  /** Of a CallTally, where somebody reads it. */
  readonly tallyMemory?: SharedArrayBuffer
  /** Absent where no agent is: nobody tells of obstacles. */
  readonly port?: MessagePort
  /** Not to practise calls while nobody asks for one. */
  readonly isUnrehearsed?: boolean
}

/** What the worker tells the agent: the socket that it listens on. */
export type WorkerWord = { readonly fd: number }
/** What the agent tells the worker: why no ADD could be served, if that is so. */
export type AgentWord = { readonly obstacle: string | undefined }

/** The thread's own loop never hears of messages: they are fetched. */
function obstacleFrom(port: MessagePort): () => string | undefined {
  let told: AgentWord['obstacle']
  return () => {
    for (let next = receiveMessageOnPort(port); next; next = receiveMessageOnPort(port))
      told = (next.message as AgentWord).obstacle
    return told
  }
}

/** What the build has recorded; sources that run as they are have none. */
const readScript = (): Script | undefined =>
  isSea() ? (JSON.parse(getAsset('rehearsal.json', 'utf8')) as Script) : undefined

/** Serves launchers until its socket is shut down; the thread does nothing else. */
export function main(data: WorkerData): void {
  const { socketPath, build, tallyMemory, port, isUnrehearsed } = data
  const native = loadNative()
  rmSync(socketPath, { force: true })
  const listeningFd = native.listenAt(socketPath)
  if (listeningFd < 0)
    throw new KernelRefusal({ what: `listen at ${socketPath}`, errno: -listeningFd })
  port?.postMessage({ fd: listeningFd } satisfies WorkerWord)
  const obstacle = port ? obstacleFrom(port) : () => undefined
  const tally = new CallTally(tallyMemory)
  const script = isUnrehearsed ? () => undefined : readScript
  const rehearsal = rehearse(native, script, dirname(socketPath))
  new CallServer({ native, listeningFd, build, tally, obstacle, rehearsal }).run()
  port?.close()
}
