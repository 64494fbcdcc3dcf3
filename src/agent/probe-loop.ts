import { type Diagnosis, diagnose, lossPercent, type PeerResult } from '../overlay/diagnosis.ts'
import type { ProbePeer, ProbeView } from '../overlay/probe-view.ts'
import type { ProbeStatus } from '../serve/agent-status.ts'
import { examine, type Timings, type Wait } from './probe-examination.ts'
import { type ExchangeOptions, ProbeExchange } from './probe-exchange.ts'

/** What the self-test says of one peer, now. */
export type ProbeReport = {
  readonly peer: string
  readonly status: ProbeStatus
  /** What is wrong; empty if all is well. */
  readonly diagnoses: readonly Diagnosis[]
}

export type ProbeLoopOptions = ExchangeOptions & {
  /** Ends early when the signal comes. */
  readonly wait: Wait
  /** ISO 8601 in UTC. */
  readonly date: () => string
  readonly onReport: (report: ProbeReport) => void
  readonly timings?: Partial<LoopTimings>
}

export type LoopTimings = Timings & {
  /** From the end of a round to the next; up to a fifth more by chance, so that nodes spread. */
  readonly roundMilliseconds: number
  /** A round's peers begin within this time, not at once. */
  readonly spreadMilliseconds: number
}

const defaultTimings: LoopTimings = {
  tries: 3,
  gapMilliseconds: 150,
  answerMilliseconds: 1_000,
  roundMilliseconds: 30_000,
  spreadMilliseconds: 10_000,
}

/**
 * In a round; the next ones come in the next. With 5,000 nodes each sends 64 × 12 datagrams in
 * 40 s, 20 a second, and gets as many.
 */
export const peersPerRoundMax = 64
/** Peers that were failing are asked in every round, up to these. */
const failingPerRoundMax = 16

/** Asks the other nodes in turn, and answers them, until it is closed. */
export class ProbeLoop {
  readonly exchange: ProbeExchange
  readonly #options: ProbeLoopOptions
  readonly #timings: LoopTimings
  readonly #stop = new AbortController()
  readonly #failing = new Set<string>()
  #view: ProbeView | undefined
  /** Name of the last peer that had its turn. */
  #last = ''

  constructor(options: ProbeLoopOptions) {
    this.#options = options
    this.#timings = { ...defaultTimings, ...options.timings }
    this.exchange = new ProbeExchange(options)
  }

  /** From now on with these nodes. Answers at once; asks from the next round on. */
  update(view: ProbeView): void {
    this.#view = view
    const names = new Set(view.peers.map(({ name }) => name))
    for (const name of this.#failing) if (!names.has(name)) this.#failing.delete(name)
    this.exchange.update(view)
  }

  /** Runs rounds until `close`; never throws. */
  async run(): Promise<void> {
    const { wait, random } = this.#options
    const { roundMilliseconds } = this.#timings
    await wait(random() * Math.min(2_000, roundMilliseconds), this.#stop.signal)
    while (!this.#stop.signal.aborted) {
      await this.round()
      const isAlone = (this.#view?.peers.length ?? 0) === 0
      const milliseconds = isAlone ? Math.min(1_000, roundMilliseconds) : roundMilliseconds
      await wait(milliseconds * (1 + random() / 5), this.#stop.signal)
    }
  }

  /** One round: those whose turn it is, side by side. */
  async round(): Promise<void> {
    this.exchange.bind()
    const chosen = choosePeers(this.#view?.peers ?? [], this.#last, this.#failing)
    this.#last = chosen.last
    await Promise.all(chosen.peers.map((peer) => this.#probe(peer)))
  }

  /** May be called twice. */
  close(): void {
    this.#stop.abort()
    this.exchange.close()
  }

  async #probe(peer: ProbePeer): Promise<void> {
    const { wait, random, checksumErrors, date, onReport } = this.#options
    const timings = this.#timings
    await wait(random() * timings.spreadMilliseconds, this.#stop.signal)
    const { exchange } = this
    const { signal } = this.#stop
    const result = await examine({ exchange, peer, timings, wait, checksumErrors, signal })
    const view = this.#view
    if (!view || this.#stop.signal.aborted) return
    // What is told of a node that has left, or has moved meanwhile, would be of another node.
    if (!view.peers.some((one) => one === peer || isSame(one, peer))) return
    const report = reportOf(result, view, date())
    if (report.status.state === 'failing') this.#failing.add(peer.name)
    else this.#failing.delete(peer.name)
    onReport(report)
  }
}

const isSame = (left: ProbePeer, right: ProbePeer): boolean =>
  left.name === right.name && sameText(left) === sameText(right)
const sameText = ({ ends }: ProbePeer): string =>
  ends.map(({ path, address, pods }) => [path, address.value, pods?.mode].join()).join(' ')

/** The failing, then those that follow the last in the order of names, round and round. */
export function choosePeers(
  peers: readonly ProbePeer[],
  last: string,
  failing: ReadonlySet<string>,
): { readonly peers: readonly ProbePeer[]; readonly last: string } {
  const sorted = peers.toSorted((left, right) => (left.name < right.name ? -1 : 1))
  const begin = sorted.findIndex(({ name }) => name > last)
  const turn = begin < 0 ? sorted : [...sorted.slice(begin), ...sorted.slice(0, begin)]
  const again = turn.filter(({ name }) => failing.has(name)).slice(0, failingPerRoundMax)
  const fresh = turn
    .filter((peer) => !again.includes(peer))
    .slice(0, peersPerRoundMax - again.length)
  return { peers: [...again, ...fresh], last: fresh.at(-1)?.name ?? last }
}

export function reportOf(result: PeerResult, view: ProbeView, at: string): ProbeReport {
  const ways = [...result.pods, ...result.node]
  // A node without a way in common has nothing to be asked by.
  if (ways.length === 0)
    return { peer: result.peer, status: { state: 'unknown', at }, diagnoses: [] }
  const diagnoses = diagnose(result, view.numbers)
  const [worst] = diagnoses
  const rttMs = ways.find((way) => way.rttMs !== undefined)?.rttMs
  const status: ProbeStatus = {
    state: worst?.severity === 'error' ? 'failing' : 'ok',
    at,
    lossPercent: lossPercent(ways),
    ...(rttMs === undefined ? {} : { rttMs: Math.round(rttMs * 100) / 100 }),
    ...(worst ? { finding: `${worst.found}: ${worst.meaning}` } : {}),
  }
  return { peer: result.peer, status, diagnoses }
}
