import { type Address, sameAddress } from '../base/address.ts'
import {
  type Datagram,
  decodeProbe,
  encodeProbe,
  familyOf,
  type Heard,
  type Path,
  packetBytes,
  payloadBytes,
  type Size,
} from '../overlay/probe.ts'
import type { ProbePeer, ProbeView } from '../overlay/probe-view.ts'
import type { OpenProbeSocket, ProbeSocket } from '../serve/probe-socket.ts'

/** How long a datagram that came in counts as heard, for the peer that asks. */
const heardMilliseconds = 10_000
/** More in one second is somebody who repeats our peers' datagrams. */
const answersPerSecondMax = 2_000
/** Of one round with room to spare; a caller that asks for more gets no answer. */
const outstandingMax = 8_192

/** One datagram that was sent, and what became of it. */
export type Shot = {
  readonly path: Path
  readonly packetBytes: number
  answer: { readonly rttMs: number; readonly datagram: Datagram } | undefined
}

export type Question = {
  readonly path: Path
  /** Of the whole IP packet; left out, as small as it gets. */
  readonly packetBytes?: number
  readonly size: Size
  readonly answerBy?: Path
}

export type ExchangeOptions = {
  readonly open: OpenProbeSocket
  /** Monotonic, in milliseconds. */
  readonly now: () => number
  /** 0 … 1: sequence numbers begin where nobody can guess. */
  readonly random: () => number
  readonly checksumErrors: () => number
  readonly onFault: (text: string) => void
}

type Waiting = {
  readonly peer: string
  readonly shot: Shot
  readonly at: number
  readonly done: () => void
}

/** The sockets of the self-test: they answer known peers, and ask them. */
export class ProbeExchange {
  readonly #options: ExchangeOptions
  readonly #sockets = new Map<Path, { readonly address: Address; readonly socket: ProbeSocket }>()
  readonly #opening = new Set<Path>()
  readonly #shots = new Map<number, Waiting>()
  /** When a request came in last, by "peer path size". */
  readonly #heard = new Map<string, number>()
  #view: ProbeView | undefined
  #peers: ReadonlyMap<string, ProbePeer> = new Map()
  #sequence: number
  #second = { from: 0, answers: 0 }
  #isClosed = false

  constructor(options: ExchangeOptions) {
    this.#options = options
    this.#sequence = Math.floor(options.random() * 2 ** 32)
  }

  /** Who we are and who is known. Sockets follow; what can't be opened yet is tried at `bind`. */
  update(view: ProbeView): void {
    this.#view = view
    this.#peers = new Map(view.peers.map((peer) => [peer.name, peer]))
    for (const key of this.#heard.keys())
      if (!this.#peers.has(key.split(' ')[0] ?? '')) this.#heard.delete(key)
    this.bind()
  }

  /** Opens what is missing and closes what is no longer ours. */
  bind(): void {
    const ends = this.#isClosed ? [] : (this.#view?.ends ?? [])
    for (const [path, { address, socket }] of this.#sockets)
      if (!ends.some((end) => end.path === path && sameAddress(end.address, address))) {
        socket.close()
        this.#sockets.delete(path)
      }
    for (const { path, address } of ends)
      if (!this.#sockets.has(path) && !this.#opening.has(path)) void this.#open(path, address)
  }

  async #open(path: Path, address: Address): Promise<void> {
    this.#opening.add(path)
    try {
      const socket = await this.#options.open({
        address,
        port: this.#view?.numbers.probePort ?? 0,
        onDatagram: (bytes, from) => this.#take(path, bytes, from),
        onFault: (refusal) => this.#drop(path, refusal),
      })
      this.#sockets.set(path, { address, socket })
    } catch (refusal) {
      this.#drop(path, refusal)
    }
    this.#opening.delete(path)
    // Meanwhile the address may have become another's, or we have been closed.
    if (this.#sockets.has(path)) this.bind()
  }

  #drop(path: Path, refusal: unknown): void {
    this.#sockets.delete(path)
    const said = refusal instanceof Error ? refusal.message : String(refusal)
    this.#options.onFault(`Cannot probe by ${path}: ${said}; tried again in the next round`)
  }

  /** Whether we can ask by this way at all. */
  has(path: Path): boolean {
    return this.#sockets.has(path)
  }

  /** Sends one request; `done` is called when its answer comes. */
  ask(peer: ProbePeer, question: Question, done: () => void): Shot {
    const { path, size, answerBy = path } = question
    const sequence = this.#sequence
    this.#sequence = (this.#sequence + 1) % 2 ** 32
    const wanted = question.packetBytes ?? 0
    const bytes = encodeProbe(
      { ...this.#words(peer.name), kind: 'request', sequence, size, answerBy },
      Math.max(0, payloadBytes(wanted, familyOf(path))),
    )
    const shot: Shot = {
      path,
      packetBytes: packetBytes(bytes.length, familyOf(path)),
      answer: undefined,
    }
    const to = peer.ends.find((end) => end.path === path)
    if (!to || this.#shots.size >= outstandingMax) return shot
    this.#shots.set(sequence, { peer: peer.name, shot, at: this.#options.now(), done })
    this.#sockets.get(path)?.socket.send(bytes, to.address)
    return shot
  }

  /** No longer waits for an answer. */
  forget(shots: readonly Shot[]): void {
    const given = new Set(shots)
    for (const [sequence, { shot }] of this.#shots)
      if (given.has(shot)) this.#shots.delete(sequence)
  }

  close(): void {
    this.#isClosed = true
    this.#shots.clear()
    this.bind()
  }

  #words(to: string): Pick<Datagram, 'from' | 'to' | 'heard' | 'checksumErrors'> {
    const checksumErrors = this.#options.checksumErrors()
    return { from: this.#view?.name ?? '', to, heard: this.#heardFrom(to), checksumErrors }
  }

  #heardFrom(peer: string): Heard {
    const since = this.#options.now() - heardMilliseconds
    const heard: `${Path} ${'small' | 'full'}`[] = []
    for (const end of this.#view?.ends ?? [])
      for (const size of ['small', 'full'] as const)
        if ((this.#heard.get(`${peer} ${end.path} ${size}`) ?? -Infinity) >= since)
          heard.push(`${end.path} ${size}`)
    return new Set(heard)
  }

  #take(path: Path, bytes: Uint8Array, from: Address): void {
    const datagram = decodeProbe(bytes)
    if (!datagram || datagram.to !== this.#view?.name) return
    const peer = this.#peers.get(datagram.from)
    const end = peer?.ends.find((one) => one.path === path)
    if (!peer || !end || !sameAddress(end.address, from)) return
    if (datagram.kind === 'request') this.#answer({ peer, path, datagram, length: bytes.length })
    else this.#settle(datagram)
  }

  /** As long as the request and never longer, to the address that the peer is known by. */
  #answer(request: {
    readonly peer: ProbePeer
    readonly path: Path
    readonly datagram: Datagram
    readonly length: number
  }): void {
    const { peer, path, datagram, length } = request
    const { size, sequence, answerBy } = datagram
    const now = this.#options.now()
    if (size !== 'search') this.#heard.set(`${peer.name} ${path} ${size}`, now)
    if (now - this.#second.from >= 1_000) this.#second = { from: now, answers: 0 }
    if (++this.#second.answers > answersPerSecondMax) return
    const to = peer.ends.find((end) => end.path === answerBy)
    if (!to) return
    const answer = encodeProbe(
      { ...this.#words(peer.name), kind: 'answer', sequence, size, answerBy },
      length,
    )
    // Names may be longer than the request's: only of a request that somebody made by hand.
    if (answer.length <= length) this.#sockets.get(answerBy)?.socket.send(answer, to.address)
  }

  #settle(datagram: Datagram): void {
    const waiting = this.#shots.get(datagram.sequence)
    if (waiting?.peer !== datagram.from) return
    this.#shots.delete(datagram.sequence)
    waiting.shot.answer = { rttMs: this.#options.now() - waiting.at, datagram }
    waiting.done()
  }
}
