import type { ChildProcess } from 'node:child_process'
import type { ApiServer } from '../../support/api-server.ts'
import type { Contender } from './contender.ts'
import { nodeObject, podCIDROf, withHeartbeat } from './fleet.ts'
import { cpuSeconds, memoryMiB } from './process-figures.ts'
import { type RouteEvent, RouteWatch } from './route-watch.ts'

/** What one agent did with the same cluster. */
export type Figures = {
  /** From exec to the last node's route. */
  readonly startMs: number
  /** From the first route to the last. */
  readonly programmingMs: number
  /** From the API's event of a new node to its route, each. */
  readonly changesMs: readonly number[]
  readonly memoryMiB: { readonly now: number; readonly peak: number }
  /** Share of one core, with no change at all. */
  readonly idleCpu: number
  /** Share of one core under heartbeats that change no route. */
  readonly noiseCpu: number
  /** From `ip route del` to the route's return; undefined: it did not come back in 5 s. */
  readonly healMs: number | undefined
}

export type Plan = {
  readonly nodes: number
  readonly changes: number
  readonly idleSeconds: number
  readonly noiseSeconds: number
  readonly noisePerSecond: number
}

const startLimitMs = 120_000
const changeLimitMs = 10_000
const healLimitMs = 5_000

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Milliseconds since 1970, as fine as the monitor's. */
const now = (): number => performance.timeOrigin + performance.now()

export async function measureAgent(
  contender: Contender,
  api: ApiServer,
  plan: Plan,
  tell: (text: string) => void,
): Promise<Figures> {
  const { node } = contender
  const watch = new RouteWatch(node.netns)
  let child: ChildProcess | undefined
  try {
    await pause(300)
    tell('first programming')
    const all = watch.next('route of every node', countdown(plan.nodes), startLimitMs)
    const startedAt = now()
    child = contender.start()
    const last = await Promise.race([all, endOf(child)])
    const first = watch.events.find(isOfFleet) ?? last
    const pid = child.pid ?? 0
    await pause(1_000)
    tell('one node at a time')
    const changesMs = await joinOneByOne(watch, api, plan)
    tell('nothing to do')
    const idleCpu = await cpuShare(pid, plan.idleSeconds, () => undefined)
    tell(`${plan.noisePerSecond} heartbeats a second`)
    const noiseCpu = await cpuShare(pid, plan.noiseSeconds, (beat) => beatOnce(api, plan, beat), {
      perSecond: plan.noisePerSecond,
    })
    tell('a route is deleted')
    const healMs = await heal(watch, contender)
    return {
      startMs: last.at - startedAt,
      programmingMs: last.at - first.at,
      changesMs,
      memoryMiB: memoryMiB(pid),
      idleCpu,
      noiseCpu,
      healMs,
    }
  } finally {
    watch.close()
    if (child) await end(child)
  }
}

/** An agent that ends by itself will program nothing more. */
const endOf = (child: ChildProcess): Promise<never> =>
  new Promise((_, reject) => {
    child.once('exit', (code, signal) => reject(new Error(`it ended with ${code ?? signal}`)))
  })

const isOfFleet = ({ kind, destination }: RouteEvent): boolean =>
  kind === 'added' && /^10\.(12[89]|1[3-9]\d|2\d\d)\..*\/24$/.test(destination)

/** True for the last of so many different nodes' routes. */
function countdown(nodes: number): (event: RouteEvent) => boolean {
  const seen = new Set<string>()
  return (event) => isOfFleet(event) && seen.add(event.destination).size === nodes
}

async function joinOneByOne(
  watch: RouteWatch,
  api: ApiServer,
  plan: Plan,
): Promise<readonly number[]> {
  const times: number[] = []
  for (let at = 0; at < plan.changes; at++) {
    const number = plan.nodes + at
    const destination = podCIDROf(number)
    const route = watch.next(
      `route to ${destination}`,
      (event) => event.kind === 'added' && event.destination === destination,
      changeLimitMs,
    )
    const toldAt = now()
    api.store.put('/nodes', nodeObject(`joined-${number}`, number))
    times.push((await route).at - toldAt)
    await pause(20)
  }
  return times
}

function beatOnce(api: ApiServer, plan: Plan, beat: number): void {
  const stored = api.store.get('/nodes', `fleet-${beat % plan.nodes}`)
  if (stored) api.store.put('/nodes', withHeartbeat(stored.object, Date.now() + beat))
}

/** Of one core, while `act` is called at its pace. */
async function cpuShare(
  pid: number,
  seconds: number,
  act: (beat: number) => void,
  { perSecond = 10 } = {},
): Promise<number> {
  const [cpu, began] = [cpuSeconds(pid), performance.now()]
  for (let beat = 0; performance.now() - began < seconds * 1000; beat++) {
    act(beat)
    const due = began + ((beat + 1) * 1000) / perSecond
    await pause(Math.max(0, due - performance.now()))
  }
  return (cpuSeconds(pid) - cpu) / ((performance.now() - began) / 1000)
}

async function heal(watch: RouteWatch, { node }: Contender): Promise<number | undefined> {
  const destination = podCIDROf(0)
  const back = watch
    .next(
      'the route',
      (event) => event.kind === 'added' && event.destination === destination,
      healLimitMs,
    )
    .catch(() => undefined)
  const deletedAt = now()
  node.netns.ip('route', 'del', destination)
  const event = await back
  return event && event.at - deletedAt
}

/** Ends it, and waits until it has. */
function end(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve()
    else child.once('exit', () => resolve())
    child.kill('SIGTERM')
    setTimeout(() => child.kill('SIGKILL'), 3_000).unref()
  })
}
