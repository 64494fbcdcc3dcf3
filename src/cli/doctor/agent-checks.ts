import type { AgentStatus } from '../../serve/agent-status.ts'
import { ago, formatSeconds } from '../duration.ts'
import { compare } from '../routes.ts'
import { type Check, type Examined, error, listed, ok, unknown, warning } from './check.ts'

export const agent: Check = ({ agent: answer, fabric }) => {
  if ('unseen' in answer)
    return [
      error('agent', {
        found: answer.unseen,
        meaning: 'nobody keeps the routes to other nodes',
        remedy: "see the agent's log; start it again",
      }),
    ]
  if (answer.kind === 'absent') {
    const isWoven = 'routes' in fabric && fabric.routes.length > 0
    const what = isWoven ? 'the routes to other nodes stay as they are' : 'no routes to other nodes'
    return [unknown('agent', `no agent answers (${answer.why}): ${what}`)]
  }
  const { status } = answer
  return [running(status), source(status), ...loops(status), ...told(status)]
}

function running({ ready, pid, version, convergence }: AgentStatus): Examined {
  if (ready && convergence.pending === undefined)
    return ok('agent', `${version} runs as ${pid}, and the kernel is as it wants it`)
  return warning('agent', {
    found: ready
      ? `the kernel is not yet as the agent wants it: ${convergence.pending}`
      : `the agent (${pid}) is not ready${convergence.pending ? `: ${convergence.pending}` : ''}`,
    meaning: 'some pods on other nodes may not be reached',
    remedy: '"tulle status" tells the last errors; so does its log',
  })
}

/** The API server's own watch ends after some minutes; a silence that long is none of its. */
const silenceSecondsMax = 600

function source({
  source: { kind, where, connected, using, lastContactSeconds, error: said },
}: AgentStatus): Examined {
  const heard =
    lastContactSeconds === undefined
      ? 'never heard'
      : `heard ${ago(formatSeconds(lastContactSeconds))}`
  const isSilent = (lastContactSeconds ?? Number.POSITIVE_INFINITY) > silenceSecondsMax
  if (connected && (kind === 'nodes-file' || !isSilent))
    return ok('source', `${kind} ${where}, ${heard}`)
  const trouble = {
    found:
      `${kind} ${where}: ${connected ? 'connected' : 'not connected'}, ${heard}` +
      (said === undefined ? '' : ` (${said})`),
    meaning:
      using === 'nothing'
        ? 'no node is known: pods of other nodes are not reached'
        : 'what changes in the cluster is not seen; what was known is kept',
    remedy:
      kind === 'kubernetes'
        ? 'see whether the API server answers from this node, and whether the token is valid'
        : 'see whether the file is there and right',
  }
  return using === 'nothing' ? error('source', trouble) : warning('source', trouble)
}

const loops = ({ loops: all }: AgentStatus): readonly Examined[] =>
  all
    .filter(({ failuresInRow }) => failuresInRow >= failuresMin)
    .map(({ name, failuresInRow }) =>
      error('agent-loop', {
        found: `the agent's ${name} has failed ${failuresInRow} times in a row`,
        meaning: 'what it keeps is not kept',
        remedy: '"tulle status" tells the last errors',
      }),
    )
/** Once or twice is how a kernel or an API server is under load. */
const failuresMin = 3

/** Of many nodes the same: said once for each check, with the names. */
function told({ findings }: AgentStatus): readonly Examined[] {
  const groups = Map.groupBy(findings, ({ check, severity }) => `${check} ${severity}`)
  return [...groups.values()].flatMap((group) => {
    const [first] = group
    if (!first) return []
    const { check, severity, meaning, remedy } = first
    const subjects = group.flatMap(({ subject }) => subject ?? [])
    const trouble = { found: listed(subjects) || 'this node', meaning, remedy }
    return [severity === 'error' ? error(check, trouble) : warning(check, trouble)]
  })
}

export const nodeRoutes: Check = ({ agent: answer, fabric }) => {
  if ('unseen' in fabric) return [unknown('routes', fabric.unseen)]
  const peers = 'status' in answer ? answer.status.peers : undefined
  const rows = compare(fabric.routes, peers)
  const wrong = rows.filter(({ state }) => state !== 'ok')
  const found: Examined[] = []
  if (wrong.length > 0)
    found.push(
      error('routes', {
        found: `${wrong.length} of ${rows.length} routes to other nodes are not right: ${listed(
          wrong.map(({ destination, state }) => `${destination} ${state}`),
          3,
        )}`,
        meaning: 'pods on those nodes are not reached, or by a way that is no longer theirs',
        remedy: '"tulle routes" tells each; a running agent mends them within a second',
      }),
    )
  else if (rows.length > 0) found.push(ok('routes', `${rows.length} to other nodes' pods`))
  if (fabric.unused.length > 0)
    found.push(
      warning('stale-entries', {
        found: `no route leads by ${fabric.unused.length} entries: ${listed(fabric.unused, 3)}`,
        meaning: 'they are of nodes that are gone, or somebody has deleted the routes',
        remedy: 'a running agent removes them, or puts the routes back',
      }),
    )
  return found
}
