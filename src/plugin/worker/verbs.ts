import { parseBareConfig } from '../../cni/config.ts'
import type { Environment } from '../../cni/environment.ts'
import { formatVersions } from '../../cni/version.ts'
import { add } from '../add.ts'
import { atOnce, type Work } from '../call.ts'
import { addChained, checkChained, delChained, statusChained } from '../chained.ts'
import { check } from '../check.ts'
import { type Called, readCall } from '../context.ts'
import { del } from '../del.ts'
import { answerLoopback } from '../loopback.ts'
import type { PluginName } from '../names.ts'
import { type Pausing, withoutPause } from '../pausing.ts'
import { status } from '../status.ts'
import { needsProcess } from './host-paths.ts'

/** A call that can begin; what it prints on success, if anything. */
export type Prepared = {
  readonly work: () => Pausing<string | undefined>
  /** Takes back an answer that nobody could read. */
  readonly undo?: () => Pausing<string | undefined>
}

type Verbs = Readonly<Partial<Record<Environment['verb'], Work>>>

const ofInterface: Verbs = {
  ADD: add,
  DEL: del,
  CHECK: atOnce((call) => void check(call)),
  STATUS: atOnce((call) => void status(call)),
}

const ofChain: Verbs = {
  ADD: atOnce(addChained),
  DEL: delChained,
  CHECK: atOnce((call) => void checkChained(call)),
  STATUS: atOnce((call) => void statusChained(call)),
}

/**
 * GC is nowhere: it takes long, and comes seldom. IPAM alone and flannel are there for plugins
 * that start processes anyway.
 */
const verbsOf: Readonly<Partial<Record<string, Verbs>>> = {
  tulle: ofInterface,
  bridge: ofInterface,
  ptp: ofInterface,
  portmap: ofChain,
  bandwidth: ofChain,
  tuning: ofChain,
  firewall: ofChain,
} satisfies Partial<Record<PluginName, Verbs>>

export type Asked = {
  readonly called: Called
  readonly environment: Environment
  /** Standard input. */
  readonly input: string
}

/**
 * What a call would do here; undefined where a process of its own has to do it.
 * @throws what that process would refuse it for: that has the words as well.
 */
export function prepare({ called, environment, input }: Asked): Prepared | undefined {
  const { verb } = environment
  if (verb === 'VERSION') return { work: () => withoutPause(() => formatVersions(input)) }
  if (called.plugin === 'loopback') return prepareLoopback({ called, environment, input })
  const verbs = verbsOf[called.plugin]
  const work = verbs?.[verb]
  if (!work) return undefined
  const call = readCall(called, environment, input)
  if (needsProcess(call)) return undefined
  const undo = verb === 'ADD' ? verbs.DEL : undefined
  return { work: () => work(call), ...(undo ? { undo: () => undo(call) } : {}) }
}

function prepareLoopback({ called, environment, input }: Asked): Prepared {
  const config = parseBareConfig(input)
  return { work: () => withoutPause(() => answerLoopback({ ...called, environment, config })) }
}
