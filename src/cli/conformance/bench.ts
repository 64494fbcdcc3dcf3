import type { CniVersion } from '../../cni/version.ts'
import type { Native } from '../../kernel/native.ts'
import { ThrowAwayNode, type ThrowAwayPod } from '../../kernel/throw-away-node.ts'
import { type Watched, watchProgram } from '../../kernel/watched-program.ts'
import { type Json, parseJson } from './answers.ts'
import { difference, ruleLines, wiringLines } from './picture.ts'
import type { Families, Subject } from './subject.ts'

/** A call may take so long; a runtime would have given up on the pod. */
const limitMilliseconds = 30_000

const settleMilliseconds = 2_000

/** Everything here is synchronous: the thread has to stay in its namespaces. */
const pause = (milliseconds: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}

export const ifname = 'eth0'

type Env = Readonly<Record<string, string | undefined>>

export type Pod = ThrowAwayPod & { readonly container: string }

/** ADD as it went, and its result if it was one. */
export type Added = { readonly ran: Watched; readonly result: Json | undefined }

/** Where plugins are tried: a throw-away node with pods that are made as they are asked for. */
export class Bench {
  readonly subject: Subject
  readonly node: ThrowAwayNode
  readonly #pods: { readonly pod: Pod; readonly conf: Json }[] = []
  #made = 0

  constructor(native: Native, subject: Subject) {
    this.subject = subject
    this.node = ThrowAwayNode.enter(native)
  }

  /** The plugin's configuration; of both families unless the user gave another. */
  conf(version: CniVersion, families?: Families): Json {
    const [first = 'given'] = this.subject.families
    return this.subject.confOf(version, families ?? (first === 'given' ? 'given' : 'dual'))
  }

  makePod(conf: Json): Pod {
    this.#made += 1
    const container = `conformance-${this.#made}`
    const pod = { ...this.node.makePod(container), container }
    this.#pods.push({ pod, conf })
    return pod
  }

  /** A pod's call with its environment; what is undefined in `changes` is not set at all. */
  call(verb: string, pod: Pod, conf: Json | string, changes: Env = {}): Watched {
    return this.run(typeof conf === 'string' ? conf : JSON.stringify(conf), {
      CNI_COMMAND: verb,
      CNI_CONTAINERID: pod.container,
      CNI_NETNS: pod.path,
      CNI_IFNAME: ifname,
      CNI_PATH: this.subject.cniPath,
      ...changes,
    })
  }

  /** A verb that is about no pod. */
  ask(verb: string, conf: Json, changes: Env = {}): Watched {
    const env = { CNI_COMMAND: verb, CNI_PATH: this.subject.cniPath, ...changes }
    return this.run(JSON.stringify(conf), env)
  }

  run(input: string, changes: Env): Watched {
    const given = Object.entries(changes).filter(([, value]) => value !== undefined)
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...Object.fromEntries(given) }
    return watchProgram(this.subject.file, { input, env, limitMilliseconds })
  }

  add(pod: Pod, conf: Json): Added {
    const ran = this.call('ADD', pod, conf)
    return { ran, result: ran.code === 0 ? parseJson(ran.stdout) : undefined }
  }

  /** What the node shows of links, addresses, routes, neighbours and rules. */
  picture = (): readonly string[] => [...wiringLines(this.node.socket), ...ruleLines()]

  /**
   * What is not as it was. The kernel takes a while to clear away what was in a namespace that has
   * ended, so what is too much is looked at again.
   */
  changesSince(before: readonly string[]): readonly string[] {
    const deadline = Date.now() + settleMilliseconds
    for (;;) {
      const changes = difference(before, this.picture())
      if (changes.length === 0 || Date.now() > deadline) return changes
      pause(100)
    }
  }

  /** Ends every pod as a runtime would, so that the next case finds the node in order. */
  clear(): void {
    for (const { pod, conf } of this.#pods.splice(0)) {
      this.call('DEL', pod, conf)
      // Deleted, they are gone at once; with their namespace they go some time later.
      if (pod.isThere())
        for (const { name } of pod.socket.links()) if (name !== 'lo') pod.socket.deleteLink(name)
      pod.close()
    }
  }
}
