import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RunningAgent, writeNodes } from '../agent/running-agent.ts'
import { type Call, call, callLater, type Json } from '../support/cni.ts'
import { makeNetns, type Netns, type Ran } from '../support/netns.ts'
import { batch } from '../support/underlay.ts'

/** A pod as the API would tell of it, before it has an address. */
export type PodWish = Readonly<{
  /** "namespace/name" */
  key: string
  labels?: Readonly<Record<string, string>>
  ports?: readonly Readonly<{ containerPort: number; protocol?: string }>[]
}>

export type RunningPod = Readonly<{
  key: string
  netns: Netns
  addresses: readonly string[]
  /** Of its ADD. */
  milliseconds: number
}>

export const agentNodeName = 'n1'
const podCIDRs = ['10.244.1.0/24', 'fd10:1::/64']

/**
 * A node with the packaged agent on it, which has policies, pods and namespaces from a folder, and
 * with pods made by the packaged plugin of the network list that the agent wrote.
 */
export class AgentNode {
  readonly netns: Netns
  readonly folder: string
  readonly agent: RunningAgent
  readonly #manifests: string
  readonly #conflist: string

  constructor(cidrs: readonly string[] = podCIDRs) {
    this.folder = mkdtempSync(join(tmpdir(), 'tt-policy-'))
    this.#manifests = join(this.folder, 'manifests')
    this.#conflist = join(this.folder, 'net.d', '10-tulle.conflist')
    const nodes = join(this.folder, 'nodes.yaml')
    mkdirSync(this.#manifests)
    const addresses = ['192.0.2.1', '2001:db8:ff::1']
    writeNodes(nodes, [{ name: agentNodeName, addresses, podCIDRs: cidrs }])
    this.netns = makeNetns('node')
    this.agent = new RunningAgent(this.netns, agentNodeName, [
      ...['--nodes-file', nodes, '--policy-files', this.#manifests],
      ...['--conflist', this.#conflist],
    ])
    batch(this.netns, [
      'link add up0 type veth peer name up1',
      'link set up0 up',
      'link set up1 up',
      'addr add 192.0.2.1/24 dev up0',
      'addr add 2001:db8:ff::1/64 dev up0 nodad',
    ])
  }

  async start(): Promise<void> {
    this.agent.start()
    await this.agent.ready()
  }

  /** JSON is YAML; put in place by a rename, as careful people do. */
  write(name: string, content: string | readonly object[]): void {
    const text =
      typeof content === 'string'
        ? content
        : content.map((one) => JSON.stringify(one)).join('\n---\n')
    const aside = join(this.folder, name)
    writeFileSync(aside, text)
    renameSync(aside, join(this.#manifests, name))
  }

  remove(name: string): void {
    rmSync(join(this.#manifests, name), { force: true })
  }

  get manifests(): string {
    return this.#manifests
  }

  /** The network list that the agent wrote, as libcni hands its plugin over. */
  get conf(): Json {
    const list = JSON.parse(readFileSync(this.#conflist, 'utf8')) as Json & {
      readonly plugins: readonly Json[]
    }
    return { ...list.plugins[0], cniVersion: list.cniVersion, name: list.name }
  }

  /** ADD in a namespace that is there already, so that somebody can be in it before. */
  async addPod(key: string, netns: Netns): Promise<RunningPod> {
    const began = performance.now()
    const ran = await callLater(this.#call('ADD', key, netns))
    const milliseconds = performance.now() - began
    if (ran.code !== 0) throw new Error(`ADD of ${key}: ${ran.stdout}${ran.stderr}`)
    const { ips } = JSON.parse(ran.stdout) as { readonly ips: readonly { address: string }[] }
    const addresses = ips.map(({ address }) => address.split('/')[0] ?? '')
    return { key, netns, addresses, milliseconds }
  }

  removePod({ key, netns }: Pick<RunningPod, 'key' | 'netns'>): Ran {
    return call(this.#call('DEL', key, netns))
  }

  removePodLater({ key, netns }: Pick<RunningPod, 'key' | 'netns'>): Promise<Ran> {
    return callLater(this.#call('DEL', key, netns))
  }

  async close(): Promise<void> {
    await this.agent.close()
    this.netns.close()
    rmSync(this.folder, { recursive: true, force: true })
  }

  #call(verb: 'ADD' | 'DEL', key: string, netns: Netns): Call {
    const [namespace, name] = key.split('/')
    const args = `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name}`
    return {
      verb,
      conf: this.conf,
      node: this.netns,
      container: netns.name,
      netns: netns.path,
      ifname: 'eth0',
      args: `${args};K8S_POD_UID=${namespace}-${name}`,
      path: '/opt/cni/bin',
    }
  }
}

/** As manifests have it; addresses come from the node's own records. */
export const podObject = ({ key, labels = {}, ports = [] }: PodWish): object => {
  const [namespace, name] = key.split('/')
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace, name, labels, uid: `${namespace}-${name}` },
    spec: { nodeName: agentNodeName, containers: [{ name: 'main', ports }] },
    status: { phase: 'Running' },
  }
}
