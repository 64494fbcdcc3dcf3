import type { Native } from '../kernel/native.ts'
import type { Clock } from './clock.ts'
import type { AgentConfig } from './config.ts'
import type { Log } from './log.ts'
import type { SharedOptions } from './loop.ts'

/** What every loop is made with. */
export type LoopSettings = SharedOptions & {
  readonly resyncMilliseconds: number
}

export type AgentParts = {
  readonly config: AgentConfig
  readonly native: Native
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
  readonly version: string
  readonly isPackaged: boolean
}
