import type { PathResult, PeerResult, PodsResult, Trial } from '../overlay/diagnosis.ts'
import { type Bounds, nextSearch, pathOf } from '../overlay/probe.ts'
import type { PeerEnd, ProbePeer } from '../overlay/probe-view.ts'
import type { ProbeExchange, Question, Shot } from './probe-exchange.ts'

export type Timings = {
  /** Datagrams of each size on each way. */
  readonly tries: number
  readonly gapMilliseconds: number
  /** Until a datagram counts as lost. */
  readonly answerMilliseconds: number
}

export type Wait = (milliseconds: number, signal?: AbortSignal) => Promise<void>

export type Examining = {
  readonly exchange: ProbeExchange
  readonly peer: ProbePeer
  readonly timings: Timings
  readonly wait: Wait
  readonly checksumErrors: () => number
  /** Nobody wants to know any more: every wait ends. */
  readonly signal: AbortSignal
}

/** 2^16 sizes are halved 16 times. */
const searchStepsMax = 17
const searchTries = 2
/** A step of the search waits for this many round trips, and this much more. */
const searchPatience = { rounds: 4, milliseconds: 100, gapMilliseconds: 10 }

/**
 * Asks one peer by every way, small and full; where something is not answered, asks again in ways
 * that tell why. A peer that is well takes as long as its tries.
 */
export async function examine(examining: Examining): Promise<PeerResult> {
  const { exchange, peer, checksumErrors } = examining
  const before = checksumErrors()
  const ends = peer.ends.filter(({ path }) => exchange.has(path))
  const questions = ends.flatMap((end): readonly Question[] => [
    { path: end.path, size: 'small' },
    { path: end.path, size: 'full', packetBytes: end.mtuBytes },
  ])
  const shots = await ask(examining, questions, examining.timings.tries)
  const shotsOf = (end: PeerEnd, size: 'small' | 'full'): readonly Shot[] =>
    shots[questions.findIndex((one) => one.path === end.path && one.size === size)] ?? []
  const node: PathResult[] = []
  const pods: PodsResult[] = []
  for (const end of ends) {
    const [small, full] = [shotsOf(end, 'small'), shotsOf(end, 'full')]
    const result = {
      ...firstResult(end, small, full),
      ...(await lookCloser(examining, end, { small, full })),
    }
    if (end.pods) pods.push({ ...result, ...end.pods })
    else node.push(result)
  }
  const there = shots.flat().flatMap(({ answer }) => answer?.datagram.checksumErrors ?? [])
  const last = there.length > 0 ? await lastErrors(examining, there) : 0
  return { peer: peer.name, node, pods, checksumErrors: risen(before, checksumErrors()) + last }
}

function firstResult(end: PeerEnd, small: readonly Shot[], full: readonly Shot[]): PathResult {
  const rtts = small.flatMap(({ answer }) => answer?.rttMs ?? [])
  return {
    path: end.path,
    mtuBytes: end.mtuBytes,
    small: trialOf(small),
    full: trialOf(full),
    ...(rtts.length > 0 ? { rttMs: Math.min(...rtts) } : {}),
  }
}

const trialOf = (shots: readonly Shot[]): Trial => ({
  sent: shots.length,
  answered: shots.filter(({ answer }) => answer).length,
})
const isAnswered = (shots: readonly Shot[]): boolean => shots.some(({ answer }) => answer)

type Closer = Pick<PathResult, 'largestBytes' | 'outward' | 'inward'>

async function lookCloser(
  examining: Examining,
  end: PeerEnd,
  { small, full }: { small: readonly Shot[]; full: readonly Shot[] },
): Promise<Closer> {
  if (isAnswered(full)) return {}
  const size = isAnswered(small) ? 'full' : 'small'
  const directions = end.pods ? await directionsOf(examining, end, size) : {}
  const [least] = small
  if (size === 'small' || !least) return directions
  const largestBytes = await search(examining, end, {
    passes: least.packetBytes,
    fails: end.mtuBytes,
    rttMs: Math.max(...small.flatMap(({ answer }) => answer?.rttMs ?? [])),
  })
  return { ...directions, largestBytes }
}

/**
 * By the way between the node addresses the peer tells what it has heard from us, and is asked to
 * answer through the way in question.
 */
async function directionsOf(
  examining: Examining,
  end: PeerEnd,
  size: 'small' | 'full',
): Promise<Pick<PathResult, 'outward' | 'inward'>> {
  const path = pathOf('node', end.pods?.over ?? 4)
  if (!examining.exchange.has(path)) return {}
  // An answer is as long as its request, so a full one by the other way may not fill this one.
  const bytes = size === 'full' ? { packetBytes: end.mtuBytes } : {}
  const [told = [], crossed = []] = await ask(
    examining,
    [
      { path, size: 'small' },
      { path, size: 'search', answerBy: end.path, ...bytes },
    ],
    searchTries,
  )
  const answer = told.flatMap((shot) => shot.answer ?? []).at(-1)
  if (!answer) return {}
  return { outward: answer.datagram.heard.has(`${end.path} ${size}`), inward: isAnswered(crossed) }
}

async function search(
  patient: Examining,
  end: PeerEnd,
  { rttMs, ...first }: Bounds & { readonly rttMs: number },
): Promise<number> {
  const { rounds, milliseconds, gapMilliseconds } = searchPatience
  const answerMilliseconds = Math.min(
    rttMs * rounds + milliseconds,
    patient.timings.answerMilliseconds,
  )
  const timings = { ...patient.timings, gapMilliseconds, answerMilliseconds }
  const examining = { ...patient, timings }
  let bounds: Bounds = first
  for (let step = 0; step < searchStepsMax; step++) {
    const packetBytes = nextSearch(bounds)
    if (packetBytes === undefined) break
    const question: Question = { path: end.path, size: 'search', packetBytes }
    const [shots = []] = await ask(examining, [question], searchTries)
    bounds = isAnswered(shots)
      ? { ...bounds, passes: packetBytes }
      : { ...bounds, fails: packetBytes }
  }
  return bounds.passes
}

/** The peer's count of broken checksums, asked once more, against the first that it told. */
async function lastErrors(examining: Examining, told: readonly number[]): Promise<number> {
  const answered = examining.peer.ends.filter(({ path }) => examining.exchange.has(path))
  const questions = answered.map(({ path }): Question => ({ path, size: 'small' }))
  const shots = await ask(examining, questions, 1)
  const now = shots.flat().flatMap(({ answer }) => answer?.datagram.checksumErrors ?? [])
  return risen(told[0] ?? 0, now[0] ?? told.at(-1) ?? 0)
}

/** Counters have 32 bits and begin again. */
const risen = (from: number, to: number): number => (to - from + 2 ** 32) % 2 ** 32

/** Sends each question `tries` times and waits for the answers; the shots of each question. */
async function ask(
  { exchange, peer, timings, wait, signal }: Examining,
  questions: readonly Question[],
  tries: number,
): Promise<readonly (readonly Shot[])[]> {
  const all = new AbortController()
  let left = questions.length * tries
  const done = (): void => {
    left -= 1
    if (left === 0) all.abort()
  }
  const shots: Shot[][] = questions.map(() => [])
  for (let attempt = 0; attempt < tries; attempt++) {
    if (attempt > 0) await wait(timings.gapMilliseconds, signal)
    for (const [at, question] of questions.entries())
      shots[at]?.push(exchange.ask(peer, question, done))
  }
  if (left > 0) await wait(timings.answerMilliseconds, AbortSignal.any([all.signal, signal]))
  exchange.forget(shots.flat())
  return shots
}
