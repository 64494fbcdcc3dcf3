import { closeSync, fstatSync } from 'node:fs'
import { basename } from 'node:path/posix'
import type { CallTally } from '../../cni/call-tally.ts'
import { parseEnvironment } from '../../cni/environment.ts'
import { type Launched, parseLaunched } from '../../cni/launched.ts'
import type { LinkRemover } from '../../kernel/link-remover.ts'
import type { Native } from '../../kernel/native.ts'
import type { OpenDatabases } from '../../store/open-databases.ts'
import { refusalText } from '../call.ts'
import { type Called, isOwnNetns } from '../context.ts'
import { pluginNameOf } from '../names.ts'
import type { Pausing } from '../pausing.ts'
import { CallNative } from './call-native.ts'
import type { Launcher, Packet } from './launcher.ts'
import type { SocketPool } from './socket-pool.ts'
import { type Prepared, prepare } from './verbs.ts'

/** What all calls share. */
export type Shared = {
  readonly native: Native
  readonly pool: SocketPool
  readonly remover: LinkRemover
  readonly stores: OpenDatabases
  /** Of this executable; a launcher of another one has another executable to start. */
  readonly build: string
  readonly tally: CallTally
  /** For a packet. */
  readonly room: Uint8Array
  /** Why an ADD could not be served now, as the agent knows it. */
  readonly obstacle: () => string | undefined
}

/** What is held for a call, from its first packet on. */
type Held = {
  readonly launched: Launched
  readonly native: CallNative
  readonly netnsFd: number | undefined
}

/** One launcher's call: new → read → queued → working → answered (→ undoing) → over. */
export class Connection {
  readonly #shared: Shared
  readonly launcher: Launcher
  #state: 'new' | 'read' | 'queued' | 'working' | 'answered' | 'undoing' | 'over' = 'new'
  #held: Held | undefined
  #prepared: Prepared | undefined
  #work: Pausing<void> | undefined
  #isDeserted = false
  /** Something may have been done. */
  #isUnderWay = false

  constructor(shared: Shared, launcher: Launcher) {
    this.#shared = shared
    this.launcher = launcher
  }

  get state(): string {
    return this.#state
  }

  /** Something may still come from the launcher. */
  get isListening(): boolean {
    return !this.#isDeserted
  }

  /** Calls of one key are done one after the other; undefined: whenever. */
  get key(): string | undefined {
    const { CNI_CONTAINERID: container, CNI_IFNAME: ifname } = this.#held?.launched.variables ?? {}
    return container ? `${container} ${ifname}` : undefined
  }

  /** Reads what is there. */
  hear(): void {
    const packet = this.launcher.receive(this.#shared.room)
    if (packet === undefined) return
    if (packet === 'gone') this.#hearEnd()
    else if (this.#state === 'new') this.#take(packet)
    else this.#hearWord(packet)
  }

  begin(): void {
    this.#state = 'working'
    if (this.#prepared) this.#work = this.#run(this.#prepared.work)
  }

  /** Works on; how many milliseconds to wait before the next step, undefined if there is none. */
  step(): number | undefined {
    if (!this.#work) return undefined
    const isFutile = this.#isDeserted && this.#state === 'working' && this.#prepared?.undo
    if (isFutile && !this.#isUnderWay) {
      this.close()
      return undefined
    }
    this.#isUnderWay = true
    const next = isFutile ? this.#work.throw(new Error(deserted)) : this.#work.next()
    return next.done ? undefined : next.value
  }

  close(): void {
    if (this.#state === 'over') return
    this.#state = 'over'
    this.#held?.native.end()
    if (this.#held?.netnsFd !== undefined) closeSync(this.#held.netnsFd)
    this.launcher.close()
  }

  #take({ bytes, descriptors }: Packet): void {
    const [own, netnsFd, podSocket, ...rest] = descriptors
    const { native: base, pool } = this.#shared
    const launched = parseLaunched(bytes)
    const native = new CallNative(base, pool, { launcher: this.launcher, netnsFd, podSocket })
    if (launched) this.#held = { launched, native, netnsFd }
    else for (const fd of [netnsFd, podSocket]) if (fd !== undefined) closeSync(fd)
    const isNeighbour = own !== undefined && isOwnNetns(fstatSync(own))
    for (const fd of own === undefined ? rest : [own, ...rest]) closeSync(fd)
    if (this.#held && isNeighbour) this.#prepared = this.#prepare(this.#held)
    this.#state = 'read'
    if (this.#prepared) return
    this.#shared.tally.count('left')
    this.close()
  }

  /** Undefined: not for us, for whatever reason; the launcher starts a process that tells it. */
  #prepare({ launched, native, netnsFd }: Held): Prepared | undefined {
    const { build, variables, input, name, descriptors } = launched
    if (build !== this.#shared.build) return undefined
    try {
      const environment = parseEnvironment(variables)
      const needsPod = environment.verb === 'ADD' || environment.verb === 'CHECK'
      if (needsPod && descriptors < 3) return undefined
      const called: Called = {
        native: native.native,
        plugin: pluginNameOf(basename(name)),
        note: (text) => this.launcher.note(text),
        ...(netnsFd === undefined ? {} : { netnsFd }),
        ...(variables.TULLE_ATTEMPT ? { attempt: variables.TULLE_ATTEMPT } : {}),
        remover: this.#shared.remover,
        stores: this.#shared.stores,
        obstacle: this.#shared.obstacle,
      }
      return prepare({ called, environment, input })
    } catch {
      return undefined
    }
  }

  #hearWord({ bytes, descriptors }: Packet): void {
    for (const fd of descriptors) closeSync(fd)
    const word = String.fromCharCode(bytes[0] ?? 0)
    if (this.#state === 'read' && word === 'G') this.#state = 'queued'
    else if (this.#state === 'answered' && word === 'U') this.#takeBack()
    else if (this.#state !== 'working' && this.#state !== 'undoing') this.close()
  }

  /** Of a runtime that has ended its plugin: what was begun ends first, and is then taken back. */
  #hearEnd(): void {
    this.#isDeserted = true
    if (this.#state === 'new' || this.#state === 'read') this.#shared.tally.count('left')
    if (this.#state !== 'working' && this.#state !== 'undoing') this.close()
  }

  *#run(work: Prepared['work']): Pausing<void> {
    let exitCode: 0 | 1 = 0
    let output = ''
    try {
      const text = yield* work()
      if (text !== undefined) output = `${text}\n`
    } catch (refusal) {
      exitCode = 1
      output = `${refusalText(this.#held?.launched.input ?? '', refusal)}\n`
    }
    this.#state = 'answered'
    this.#shared.tally.count(exitCode === 0 ? 'served' : 'failed')
    if (!this.#isDeserted && this.launcher.finish(exitCode, output)) return
    if (exitCode === 0) this.#takeBack()
    else this.close()
  }

  #takeBack(): void {
    const undo = this.#prepared?.undo
    if (!undo) {
      this.close()
      return
    }
    this.#state = 'undoing'
    this.#work = this.#undo(undo)
  }

  /** Whose plugin was ended calls DEL, which says what can't be taken back. */
  *#undo(undo: Prepared['work']): Pausing<void> {
    try {
      yield* undo()
    } catch {
      // The record is there still, for that DEL and for GC.
    }
    this.close()
  }
}

const deserted = 'the runtime has ended its plugin'
