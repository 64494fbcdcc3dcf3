import type { CallTally } from '../../cni/call-tally.ts'
import { LinkRemover } from '../../kernel/link-remover.ts'
import type { Door, Native } from '../../kernel/native.ts'
import { errno, KernelRefusal } from '../../kernel/refusal.ts'
import { OpenDatabases } from '../../store/open-databases.ts'
import { nanosecondsNow } from '../pausing.ts'
import { printNote } from '../streams.ts'
import { Connection, type Shared } from './connection.ts'
import { Launcher } from './launcher.ts'
import { SocketPool } from './socket-pool.ts'

/** Others wait until one is over; native/serve.c polls as many. */
const connectionsMax = 1000
/** A request of a launcher, and room to see that one is longer. */
const packetBytesMax = 132 * 1024
/** An agent's own start goes first, and whoever comes with it. */
const rehearsalAfterNanoseconds = 1_000_000_000n
/** Nothing to wait for: the thread still looks up now and then, so that it can be ended. */
const idleMilliseconds = 1000

export type ServerOptions = {
  readonly native: Native
  readonly listeningFd: number
  readonly build: string
  readonly tally: CallTally
  readonly obstacle: () => string | undefined
  /** Done piece by piece, while there is nobody to serve. */
  readonly rehearsal: Generator<undefined>
}

type Due = { readonly connection: Connection; readonly at: bigint }

/**
 * Serves launchers on this thread, many calls at once: one that pauses lets others go on. Every
 * piece between two pauses runs as it would in a process of its own.
 */
export class CallServer {
  readonly #native: Native
  readonly #admittedFd: number
  readonly #door: Door
  readonly #shared: Shared
  readonly #connections = new Map<number, Connection>()
  #due: Due[] = []
  #rehearsal: Generator<undefined> | undefined
  readonly #rehearsalAt = nanosecondsNow() + rehearsalAfterNanoseconds
  #isOpen = true

  constructor({ native, listeningFd, build, tally, obstacle, rehearsal }: ServerOptions) {
    this.#native = native
    this.#rehearsal = rehearsal
    const admitted = native.admit(listeningFd)
    if (typeof admitted === 'number')
      throw new KernelRefusal({ what: 'let launchers in', errno: -admitted })
    this.#admittedFd = admitted.fd
    this.#door = admitted.door
    this.#shared = {
      native,
      pool: new SocketPool(native),
      remover: new LinkRemover(native),
      stores: new OpenDatabases(),
      build,
      tally,
      room: new Uint8Array(packetBytesMax),
      obstacle,
    }
  }

  /** Until the listening socket is shut down, and what was begun then has ended. */
  run(): void {
    while (this.#isOpen || this.#due.length > 0) this.#turn()
    for (const connection of this.#connections.values()) connection.close()
    this.#rehearsal?.return(undefined)
  }

  #turn(): void {
    const listening = [...this.#connections.values()].filter(({ isListening }) => isListening)
    const isFull = this.#connections.size >= connectionsMax
    const fds = Int32Array.from([
      this.#isOpen && !isFull ? this.#admittedFd : -1,
      ...listening.map(({ launcher }) => launcher.fd),
    ])
    const ready = new Uint8Array(fds.length)
    const found = this.#native.poll(fds, ready, this.#pause())
    if (found < 0 && found !== -errno.EINTR)
      throw new KernelRefusal({ what: 'wait for launchers', errno: -found })
    for (const [at, connection] of listening.entries()) if (ready[at + 1]) this.#hear(connection)
    if (ready[0]) this.#welcome()
    this.#step()
    if (this.#untilRehearsal() === 0) this.#rehearse()
  }

  /** Milliseconds; undefined: there is none, or somebody is here. */
  #untilRehearsal(): number | undefined {
    if (!this.#rehearsal || this.#connections.size > 0 || this.#due.length > 0) return undefined
    return millisecondsUntil(this.#rehearsalAt)
  }

  /** A node that it does not fit is served all the same, from colder code. */
  #rehearse(): void {
    try {
      if (this.#rehearsal?.next().done) this.#rehearsal = undefined
    } catch {
      this.#rehearsal = undefined
    }
  }

  /** Milliseconds until something is due. */
  #pause(): number {
    const next = this.#due[0]
    if (next) return millisecondsUntil(next.at)
    return Math.min(this.#untilRehearsal() ?? idleMilliseconds, idleMilliseconds)
  }

  #welcome(): void {
    while (this.#connections.size < connectionsMax) {
      const fd = this.#native.nextAdmitted(this.#admittedFd)
      if (fd === -errno.EPIPE) this.#isOpen = false
      if (fd < 0) return
      const launcher = new Launcher(this.#native, this.#door, fd)
      this.#connections.set(fd, new Connection(this.#shared, launcher))
    }
  }

  #hear(connection: Connection): void {
    const before = connection.state
    this.#guard(connection, () => connection.hear())
    this.#follow(connection, before)
  }

  /** A bug in one call must not end all others: its launcher starts a process. */
  #guard<T>(connection: Connection, work: () => T): T | undefined {
    try {
      return work()
    } catch (bug) {
      printNote(`a bug in the worker: ${bug instanceof Error ? bug.stack : String(bug)}`)
      connection.close()
      return undefined
    }
  }

  /** Puts a connection that moved on where it belongs now. */
  #follow(connection: Connection, before: string): void {
    const { state } = connection
    if (state === before) return
    if (state === 'queued') this.#beginIfFree(connection)
    else if (state === 'undoing') this.#schedule(connection, 0)
    else if (state === 'over') this.#forget(connection)
  }

  #beginIfFree(connection: Connection): void {
    const { key } = connection
    const rivals = [...this.#connections.values()].filter((other) => other.key === key)
    const isFree = key === undefined || !rivals.some(isAtWork)
    if (!isFree) return
    connection.begin()
    this.#schedule(connection, 0)
  }

  #schedule(connection: Connection, milliseconds: number): void {
    const at = nanosecondsNow() + BigInt(Math.round(milliseconds * 1e6))
    const before = this.#due.findIndex((other) => other.at > at)
    this.#due.splice(before < 0 ? this.#due.length : before, 0, { connection, at })
  }

  /** One piece of work, then whoever has come meanwhile is heard. */
  #step(): void {
    const [next] = this.#due
    if (!next || next.at > nanosecondsNow()) return
    this.#due.shift()
    const { connection } = next
    const before = connection.state
    const pause = this.#guard(connection, () => connection.step())
    if (pause !== undefined) this.#schedule(connection, pause)
    else this.#follow(connection, before)
    if (!isAtWork(connection)) this.#beginNext(connection.key)
  }

  #beginNext(key: string | undefined): void {
    if (key === undefined) return
    for (const other of this.#connections.values())
      if (other.state === 'queued' && other.key === key) {
        this.#beginIfFree(other)
        return
      }
  }

  #forget({ launcher }: Connection): void {
    this.#connections.delete(launcher.fd)
  }
}

const millisecondsUntil = (at: bigint): number => Math.max(Number(at - nanosecondsNow()) / 1e6, 0)

const isAtWork = ({ state }: Connection): boolean => state === 'working' || state === 'undoing'
