import type { NodeNews } from '../cluster/node-feed.ts'
import type { SourceStatus } from '../serve/agent-status.ts'
import type { Clock } from './clock.ts'
import type { Found } from './findings.ts'
import { NodesFileSource } from './nodes-file.ts'

/** Where nodes come from, while the agent runs. */
export type NodeSourceRun = {
  readonly status: () => Omit<SourceStatus, 'using'>
  readonly close: () => Promise<void>
}

export type SourceEars = {
  readonly clock: Clock
  readonly onNews: (news: NodeNews) => void
  /** What is wrong with the source itself; undefined: nothing any more. */
  readonly onProblem: (text: string | undefined) => void
}

export function openNodesFile(path: string, ears: SourceEars): NodeSourceRun {
  const file = new NodesFileSource({ path, ...ears })
  return {
    status: () => ({
      kind: 'nodes-file',
      where: path,
      connected: file.problem === undefined,
      ...secondsSince(file.readAt, ears.clock),
      ...(file.problem === undefined ? {} : { error: file.problem }),
    }),
    close: async () => file.close(),
  }
}

export function secondsSince(
  at: number | undefined,
  clock: Clock,
): { readonly lastContactSeconds?: number } {
  return at === undefined ? {} : { lastContactSeconds: (clock.now() - at) / 1000 }
}

export const sourceProblem = (text: string): Found => ({
  check: 'source-silent',
  severity: 'error',
  meaning: text,
  remedy: 'what was last known stays in force; mend the source',
})
