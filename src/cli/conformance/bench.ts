import { type CniVersion, isAtLeast, isVersion } from '../../cni/version.ts'
import type { Native } from '../../kernel/native.ts'
import { ThrowAwayNode, type ThrowAwayPod } from '../../kernel/throw-away-node.ts'
import { type Watched, watchProgram } from '../../kernel/watched-program.ts'
import { type Json, parseJson, told } from './answers.ts'
import { difference, ruleLines, wiringLines } from './picture.ts'
import type { Families, Subject } from './subject.ts'

/** A call may take so long; a runtime would have given up on the pod. */
const limitMilliseconds = 30_000

const settleMilliseconds = 2_000

/** Everything here is synchronous: the thread has to stay in its namespaces. */
const pause = (milliseconds: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}

/** The interface of every pod that has one. */
export const ifname = 'eth0'

type Env = Readonly<Record<string, string | undefined>>

export type Pod = ThrowAwayPod & {
  readonly container: string
  /** What the plugin before the subject answered, if the subject stands behind one. */
  readonly previous: Json | undefined
}

/** ADD as it went, and its result if it was one. */
export type Added = { readonly ran: Watched; readonly result: Json | undefined }

const environmentOf = (verb: string, pod: ThrowAwayPod & { container: string }): Env => ({
  CNI_COMMAND: verb,
  CNI_CONTAINERID: pod.container,
  CNI_NETNS: pod.path,
})

/** The network whose interfaces the chained plugins find. */
const makerConf = {
  name: 'conformance-maker',
  type: 'tulle',
  dataDir: '/run/conformance-maker',
  ipam: {
    type: 'host-local',
    ranges: [[{ subnet: '10.78.0.0/16' }], [{ subnet: 'fd00:78::/64' }]],
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
  },
}

/** A result of before chains began has the form of the first version that has them. */
const chainVersionOf = (version: string): string =>
  isVersion(version) && isAtLeast(version, '0.3.0') ? version : '0.3.0'

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
    const bare = { ...this.node.makePod(container), container, previous: undefined }
    const previous = this.subject.kind === 'chained' ? this.#makeInterface(bare, conf) : undefined
    const pod = { ...bare, previous }
    this.#pods.push({ pod, conf })
    return pod
  }

  /** A pod's call with its environment; what is undefined in `changes` is not set at all. */
  call(verb: string, pod: Pod, conf: Json | string, changes: Env = {}): Watched {
    const isBehind = verb === 'ADD' && pod.previous !== undefined
    const whole =
      isBehind && typeof conf !== 'string' ? { ...conf, prevResult: pod.previous } : conf
    return this.run(typeof whole === 'string' ? whole : JSON.stringify(whole), {
      ...environmentOf(verb, pod),
      CNI_IFNAME: this.subject.ifname,
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

  /** The first plugin of the chain is ourselves, whoever comes behind. */
  #makeInterface(pod: Pod, conf: Json): Json {
    const ran = this.#runMaker('ADD', pod, conf)
    const result = ran.code === 0 ? parseJson(ran.stdout) : undefined
    if (!result) throw new Error(`Cannot make an interface for the chain: ${told(ran)}`)
    return result
  }

  #runMaker(verb: 'ADD' | 'DEL', pod: Pod, { cniVersion }: Json): Watched {
    const input = JSON.stringify({ ...makerConf, cniVersion: chainVersionOf(String(cniVersion)) })
    const env = { ...environmentOf(verb, pod), CNI_IFNAME: ifname, CNI_PATH: '/opt/cni/bin' }
    return watchProgram(process.execPath, { input, env, limitMilliseconds })
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
      const changes = this.#changesOf(difference(before, this.picture()))
      if (changes.length === 0 || Date.now() > deadline) return changes
      pause(100)
    }
  }

  /** The interface that a chain stands on is ours, and may go with its namespace. */
  #changesOf = (changes: readonly string[]): readonly string[] =>
    this.subject.kind === 'chained' ? changes.filter((line) => !line.endsWith(' is gone')) : changes

  /** Ends every pod as a runtime would, so that the next case finds the node in order. */
  clear(): void {
    for (const { pod, conf } of this.#pods.splice(0)) {
      this.call('DEL', pod, conf)
      if (pod.previous) this.#runMaker('DEL', pod, conf)
      // Deleted, they are gone at once; with their namespace they go some time later.
      if (pod.isThere())
        for (const { name } of pod.socket.links()) if (name !== 'lo') pod.socket.deleteLink(name)
      pod.close()
    }
  }
}
