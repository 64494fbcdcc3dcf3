import type { Test } from 'tap'
import { Cluster } from '../machine/cluster.ts'

/** The cluster that `scripts/cluster up` started; a test never starts one of its own. */
export function liveCluster(): Cluster {
  const cluster = new Cluster()
  if (cluster.isRunning) return cluster
  throw new Error('No cluster is running; start one by "scripts/cluster up"')
}

/**
 * Lends a namespace that is deleted with all its pods, whatever happens; a failure is told with
 * what Kubernetes knows of the pods.
 */
export async function withNamespace(
  test: Test,
  cluster: Cluster,
  use: (namespace: string) => Promise<void>,
): Promise<void> {
  const namespace = `live-${Math.random().toString(36).slice(2, 8)}`
  await cluster.must(['create', 'namespace', namespace])
  try {
    await use(namespace)
  } catch (refusal) {
    test.fail(String(refusal), { stack: String((refusal as Error).stack) })
  } finally {
    if (!test.passing()) {
      const pods = await cluster.kubectl(['-n', namespace, 'get', 'pods', '-o', 'wide'])
      const warnings = ['get', 'events', '--field-selector=type=Warning']
      const events = await cluster.kubectl(['-n', namespace, ...warnings])
      test.comment(`${pods.stdout}${events.stdout}`)
    }
    await cluster.must(['delete', 'namespace', namespace, '--timeout=90s'], { timeoutMs: 100_000 })
  }
}
