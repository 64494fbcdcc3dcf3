import type { AgentStatus } from '../serve/agent-status.ts'

// Why no ADD could be served now, as nobody but the agent knows: for STATUS.

export const noCluster = (
  source: Pick<AgentStatus['source'], 'where' | 'error'> | undefined,
): string =>
  `nothing is known of the cluster: ${source?.where ?? 'its source'} has told nothing yet ` +
  `(${source?.error ?? 'no error so far'}), ` +
  'and nothing is on disk from before; see "tulle doctor"'
export const noPolicies =
  'the policies are not known yet, and pods that they hold for are closed until then; ' +
  'see "tulle status"'
