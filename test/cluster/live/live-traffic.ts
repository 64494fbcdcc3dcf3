import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, type FlowCount, type Probe, Prober } from '../../support/prober.ts'
import type { Cluster } from '../machine/cluster.ts'
import { pauseProgram, processesOf } from './pod-processes.ts'
import type { LivePod } from './pods.ts'

/** One flow; `to` is how a fault names its target. */
export type FlowWish = Probe & Readonly<{ to: string; protocol: 'TCP' | 'UDP' }>
export type FlowLoss = Readonly<{ flow: string; count: FlowCount }>

/** Of each of some fifty flows: a gap of routes or rules of a moment costs some of them. */
const intervalMilliseconds = 20
const pingIntervalSeconds = 0.02
/** What is under way when a count is taken has this long to arrive. */
const arrivalMilliseconds = 500

type Ping = Readonly<{ name: string; child: ChildProcess; said: () => string }>

/** Packets between live pods, counted at both ends by sockets in the pods' own namespaces. */
export class LiveTraffic {
  readonly #prober = new Prober()
  /** Who waits for answers sends nothing meanwhile, so that is another process. */
  readonly #asker = new Prober()
  readonly #netns = new Map<string, string>()
  readonly #flows: FlowWish[] = []
  readonly #pings: Ping[] = []

  /** @param nameOf how each is called here: by its own name unless two have the same. */
  static async among(
    cluster: Cluster,
    pods: readonly LivePod[],
    nameOf: (pod: LivePod) => string = ({ name }) => name,
  ): Promise<LiveTraffic> {
    const traffic = new LiveTraffic()
    for (const pod of pods) {
      const processes = await processesOf(cluster, pod.namespace, pod.name)
      const pause = processes.find(({ program }) => program === pauseProgram)
      if (!pause) throw new Error(`Pod ${pod.name} has no process "${pauseProgram}"`)
      traffic.addNetns(nameOf(pod), pause.pid)
    }
    return traffic
  }

  /** The network that a process is in; a name that is there already means this one from now on. */
  addNetns(name: string, pid: number): void {
    const path = `/proc/${pid}/ns/net`
    this.#netns.set(name, path)
    this.#prober.addPod(name, { path })
    this.#asker.addPod(name, { path })
  }

  /** TCP and UDP are answered on these ports from now on. */
  async listen(pod: string, ports: readonly number[]): Promise<void> {
    for (const port of ports)
      for (const protocol of ['TCP', 'UDP'] as const) this.#prober.listen(pod, protocol, port)
    await this.#prober.sync()
  }

  async flow(wish: FlowWish): Promise<void> {
    await this.#prober.flow(wish, { intervalMilliseconds })
    this.#flows.push(wish)
  }

  /** Echo requests, as often as a flow's messages. */
  ping(from: string, address: string): void {
    const netns = this.#netns.get(from)
    if (netns === undefined) throw new Error(`There is no pod ${from}`)
    const words = ['/usr/bin/ping', '-n', '-q', '-i', `${pingIntervalSeconds}`, address]
    const child = spawn('/usr/bin/nsenter', [`--net=${netns}`, ...words], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let said = ''
    child.stdout?.on('data', (bytes: Buffer) => {
      said += bytes.toString()
    })
    this.#pings.push({ name: `${from} > ${address} ICMP`, child, said: () => said })
  }

  /** Connections and datagrams of their own, beside the flows. */
  ask(probes: readonly Probe[], patienceMilliseconds = 1000): Promise<readonly Answer[]> {
    return this.#asker.ask(probes, () => probes.length, patienceMilliseconds)
  }

  /** Counts so far, while everything goes on. */
  async counts(): Promise<readonly FlowLoss[]> {
    return (await this.#prober.flows()).map((count, at) => ({ flow: this.#nameOf(at), count }))
  }

  /** Ends all of it; what each flow and each ping sent and got back. */
  async end(): Promise<Ended> {
    await this.#prober.hushFlows()
    const pings = await Promise.all(this.#pings.splice(0).map(ended))
    await sleep(arrivalMilliseconds)
    const flows = await this.counts()
    await this.#prober.stopFlows()
    this.#flows.splice(0)
    return { flows, pings }
  }

  close(): void {
    for (const { child } of this.#pings) child.kill('SIGKILL')
    this.#prober.close()
    this.#asker.close()
  }

  #nameOf(at: number): string {
    const wish = this.#flows[at]
    if (!wish) return `${at}`
    return `${wish.from} > ${wish.to} ${wish.address} ${wish.port}/${wish.protocol}`
  }
}

type PingCount = Readonly<{ flow: string; sent: number; received: number }>
export type Ended = Readonly<{ flows: readonly FlowLoss[]; pings: readonly PingCount[] }>

async function ended({ name, child, said }: Ping): Promise<PingCount> {
  const gone = once(child, 'close')
  child.kill('SIGINT')
  await gone
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(said()) ?? []
  if (sent === undefined) throw new Error(`Cannot count ${name}: ${said()}`)
  return { flow: name, sent: Number(sent), received: Number(received) }
}
