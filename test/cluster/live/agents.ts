import type { AgentStatus } from '../../../src/serve/agent-status.ts'
import type { Cluster } from '../machine/cluster.ts'
import { until } from '../machine/until.ts'
import { processesOfUid } from './pod-processes.ts'

export const agentNamespace = 'tulle-system'

export type AgentPod = Readonly<{ name: string; uid: string; node: string }>

/** The DaemonSet's agents, and what the plugin's executable on each node says of them. */
export class Agents {
  readonly #cluster: Cluster

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  async pods(): Promise<readonly AgentPod[]> {
    const words = ['-n', agentNamespace, 'pods', '-l', 'app.kubernetes.io/name=tulle']
    const listed = await this.#cluster.controlPlane.list<PodObject>(...words)
    return listed
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
      .map(({ metadata, spec }) => ({ ...metadata, node: spec.nodeName }))
  }

  setImage(image: string): Promise<string> {
    return this.#cluster.must([
      ...['-n', agentNamespace, 'set', 'image', 'daemonset/tulle', `agent=${image}`],
    ])
  }

  /** The DaemonSet makes another in its place. */
  async restart(node: string): Promise<void> {
    const pod = (await this.pods()).find((one) => one.node === node)
    if (!pod) throw new Error(`There is no agent on ${node}`)
    await this.#cluster.must(['-n', agentNamespace, 'delete', 'pod', pod.name])
  }

  /** All at once: packets go on. */
  async restartAll(): Promise<void> {
    await this.#cluster.must(['-n', agentNamespace, 'delete', 'pods', '--all'])
    await this.#cluster.rolledOut(agentNamespace)
  }

  /** SIGKILL to every agent, by its id. */
  async killAll(): Promise<void> {
    for (const pod of await this.pods()) this.kill(pod)
  }

  /** Without the API, which may be away. */
  kill({ uid, name }: AgentPod): void {
    const [agent] = processesOfUid(uid).filter(({ program }) => program === 'tulle')
    if (!agent) throw new Error(`${name} has no process "tulle"`)
    process.kill(agent.pid, 'SIGKILL')
  }

  /** What the node's own executable prints, whatever it thinks of it. */
  async tool(node: string, words: readonly string[]): Promise<string> {
    const { computer } = this.#cluster.node(node)
    const { stdout, stderr } = await computer.exec(['/opt/cni/bin/tulle', ...words])
    return stdout === '' ? stderr : stdout
  }

  async status(node: string): Promise<AgentStatus> {
    const said = await this.tool(node, ['status', '--json'])
    const { agent, why } = parsed(said)
    if (agent) return agent
    throw new Error(`No agent answers on ${node}: ${why}`)
  }

  /** Every agent answers, and is ready. */
  async allReady(limitMs = 120_000): Promise<void> {
    const ask = async (): Promise<boolean> => {
      const told = await Promise.all(this.#cluster.nodes.map(({ name }) => this.status(name)))
      const late = told.filter(({ ready }) => !ready).map(({ node }) => node)
      if (late.length > 0) throw new Error(`not ready: ${late.join(', ')}`)
      return true
    }
    await until('every agent to be ready', ask, { limitMs })
  }

  /** What is wrong by the agents' own word, once they have had time to see it. */
  async complaints(): Promise<readonly string[]> {
    const { nodes } = this.#cluster
    const look = async (): Promise<readonly string[]> => {
      const told = await Promise.all(
        nodes.map(async ({ name }) => complaintsOf(name, await this.status(name))),
      )
      return told.flat()
    }
    let said: readonly string[] = []
    const isWell = async (): Promise<boolean> => {
      said = await look()
      return said.length === 0
    }
    await until('agents without complaints', isWell, { limitMs: 45_000 }).catch(() => undefined)
    return said
  }
}

/** Of `tulle status --json`; what is no JSON is a refusal in words. */
function parsed(said: string): { readonly agent: AgentStatus | null; readonly why?: string } {
  return said.startsWith('{') ? JSON.parse(said) : { agent: null, why: said.trim() }
}

function complaintsOf(node: string, status: AgentStatus): readonly string[] {
  const { ready, convergence, findings, peers } = status
  return [
    ...(ready ? [] : ['not ready']),
    ...(convergence.pending === undefined ? [] : [convergence.pending]),
    ...findings.map(({ check, meaning }) => `${check}: ${meaning}`),
    ...peers.flatMap(({ name, probe }) =>
      probe?.state === 'ok' ? [] : [`${name}: ${probe?.state}`],
    ),
  ].map((said) => `${node}: ${said}`)
}

type PodObject = Readonly<{
  metadata: {
    readonly name: string
    readonly uid: string
    readonly deletionTimestamp?: string
  }
  spec: { readonly nodeName: string }
}>
