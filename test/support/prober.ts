import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { type Netns, run } from './netns.ts'

export type Protocol = 'TCP' | 'UDP' | 'SCTP' | 'ICMP'

/** One packet that asks for an answer. */
export type Probe = Readonly<{
  /** A pod's name. */
  from: string
  address: string
  protocol: Protocol
  /** ICMP has none. */
  port?: number
}>

/** `refused`: nobody listens. `unreachable`: the own kernel has no way. Neither is a drop. */
export type Answer = 'answered' | 'silent' | 'refused' | 'unreachable'
const answers: Readonly<Record<string, Answer>> = {
  1: 'answered',
  0: 'silent',
  r: 'refused',
  u: 'unreachable',
}

/** Since it was opened: messages said by the client, counted by the server, back at the client. */
export type FlowCount = Readonly<{
  sent: number
  served: number
  echoed: number
  /** Of the client's side, TCP only. */
  retransmits: number
}>

export type RaceEnd = Readonly<{
  /** How often it tried, before there was a network too, and datagrams that the kernel took. */
  tries: number
  sent: number
  isConnected: boolean
  retransmits: number
}>

const sources = fileURLToPath(new URL('prober/', import.meta.url))
/** Probes that one batch of prober.c holds. */
export const probesMax = 8192

/** One process with sockets in the namespaces of many pods (prober/*.c). */
export class Prober {
  readonly #folder: string
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #lines: AsyncIterator<string>

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), 'tt-prober-'))
    const program = join(this.#folder, 'prober')
    const files = readdirSync(sources).filter((name) => name.endsWith('.c'))
    const flags = ['-O2', '-Wall', '-Wextra', '-Werror', '-o', program]
    const done = run(['gcc', ...flags, ...files.map((file) => join(sources, file))])
    if (done.code !== 0) throw new Error(`Cannot compile the prober: ${done.stderr}`)
    this.#child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] })
    // its end is seen where its answer is missing
    this.#child.stdin.on('error', () => undefined)
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  addPod(name: string, netns: Pick<Netns, 'path'>): void {
    this.#tell(`pod ${name} ${netns.path}`)
  }

  /** The pod is no more: its namespace can go. */
  dropPod(name: string): void {
    this.#tell(`drop ${name}`)
  }

  /** Answers there from now on, both families; SCTP is answered on any port, unasked. */
  listen(pod: string, protocol: Protocol, port: number): void {
    this.#tell(`listen ${pod} ${protocol} ${port}`)
  }

  /** Asks all at once. `expected` is asked for how many answers will come, once all are sent. */
  async ask(
    probes: readonly Probe[],
    expected: () => number,
    patienceMilliseconds = 5000,
  ): Promise<readonly Answer[]> {
    if (probes.length > probesMax) throw new Error(`Cannot ask ${probes.length} at once`)
    for (const { from, address, protocol, port } of probes)
      this.#tell(`probe ${from} ${protocol} ${address} ${port ?? 0}`)
    this.#tell('send')
    await this.#line()
    this.#tell(`collect ${expected()} ${patienceMilliseconds}`)
    return [...(await this.#line())].map((sign) => answers[sign] as Answer)
  }

  /** A message every few milliseconds, answered each, or, pushed, sent by the server alone. */
  async flow(
    { from, address, protocol, port }: Probe,
    { intervalMilliseconds = 10, by = 'client' as 'client' | 'server' } = {},
  ): Promise<void> {
    const verb = by === 'client' ? 'flow' : 'push'
    this.#tell(`${verb} ${from} ${protocol} ${address} ${port} ${intervalMilliseconds}`)
    await this.#line()
  }

  /** All flows in the order they were begun, after all that had arrived is counted. */
  async flows(): Promise<readonly FlowCount[]> {
    this.#tell('flows')
    const line = await this.#line()
    return line
      .split(',')
      .filter(Boolean)
      .map((text) => {
        const [sent = 0, served = 0, echoed = 0, retransmits = 0] = text.split(' ').map(Number)
        return { sent, served, echoed, retransmits }
      })
  }

  /** Nothing more is sent, so that what is under way arrives and can be counted. */
  async hushFlows(): Promise<void> {
    this.#tell('hush')
    await this.#line()
  }

  async stopFlows(): Promise<void> {
    this.#tell('stop')
    await this.#line()
  }

  /** Tries to connect and to send datagrams from now on, whatever the pod has of a network. */
  async race(pod: string, port: number, connectTo: string, sendTo: readonly string[]) {
    this.#tell(['race', pod, port, connectTo, ...sendTo].join(' '))
    await this.sync()
  }

  async endRace(pod: string): Promise<RaceEnd> {
    this.#tell(`unrace ${pod}`)
    const [tries = 0, sent = 0, state, retransmits = 0] = (await this.#line())
      .split(' ')
      .map(Number)
    return { tries, sent, isConnected: state === 1, retransmits }
  }

  /** All that was said before is done. */
  async sync(): Promise<void> {
    this.#tell('sync')
    await this.#line()
  }

  close(): void {
    this.#child.stdin.end()
    this.#child.kill('SIGKILL')
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #tell(line: string): void {
    this.#child.stdin.write(`${line}\n`)
  }

  async #line(): Promise<string> {
    const { done, value } = await this.#lines.next()
    if (done) throw new Error('The prober ended')
    return value
  }
}
