import type { Test } from 'tap'
import type { Answer, Probe } from '../../support/prober.ts'
import type { Cluster } from '../machine/cluster.ts'
import { until } from '../machine/until.ts'
import { type Ended, type FlowWish, LiveTraffic } from './live-traffic.ts'
import { type LivePod, type PodWish, startPods } from './pods.ts'

// Pods of all three nodes with policies on both of their sides, and packets between them that have
// to arrive, and others that must not, whatever is done to the agents or to the API meanwhile.

export const openPort = 7001
export const closedPort = 7002
export const protocols = ['TCP', 'UDP'] as const

/** Two on every node: a peer, which policies are about, and a stranger, which none is about. */
const wishesOf = (cluster: Cluster): readonly PodWish[] =>
  cluster.nodes.flatMap(({ name: node }) => [
    { name: `peer-${node}`, node, labels: { role: 'peer' } },
    { name: `stranger-${node}`, node },
  ])

const ports = protocols.map((protocol) => ({ protocol, port: openPort }))
const peers = [{ podSelector: { matchLabels: { role: 'peer' } } }]
const policy = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'peers' },
  spec: {
    podSelector: { matchLabels: { role: 'peer' } },
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{ from: peers, ports }],
    egress: [{ to: peers, ports }],
  },
}

const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'field' },
  spec: {
    ipFamilyPolicy: 'RequireDualStack',
    selector: { role: 'peer' },
    ports: protocols.map((protocol) => ({
      ...{ name: protocol.toLowerCase(), protocol, port: openPort },
    })),
  },
}

export class PolicedField {
  readonly cluster: Cluster
  readonly namespace: string
  readonly pods: readonly LivePod[]
  readonly traffic: LiveTraffic
  readonly #serviceAddresses: readonly string[]

  private constructor(
    cluster: Cluster,
    namespace: string,
    pods: readonly LivePod[],
    traffic: LiveTraffic,
    serviceAddresses: readonly string[],
  ) {
    this.cluster = cluster
    this.namespace = namespace
    this.pods = pods
    this.traffic = traffic
    this.#serviceAddresses = serviceAddresses
  }

  /** Everything is there and in force; nothing is sent yet. */
  static async make(cluster: Cluster, namespace: string): Promise<PolicedField> {
    await cluster.put({ apiVersion: 'v1', kind: 'List', items: [policy, service] }, namespace)
    const pods = await startPods(cluster, namespace, wishesOf(cluster))
    const path = 'jsonpath={.spec.clusterIPs[*]}'
    const shown = await cluster.must(['-n', namespace, 'get', 'service', 'field', '-o', path])
    const traffic = await LiveTraffic.among(cluster, pods)
    for (const { name } of pods) await traffic.listen(name, [openPort, closedPort])
    const field = new PolicedField(cluster, namespace, pods, traffic, shown.trim().split(' '))
    await field.settled()
    return field
  }

  get peers(): readonly LivePod[] {
    return this.pods.filter(({ name }) => name.startsWith('peer'))
  }

  get strangers(): readonly LivePod[] {
    return this.pods.filter(({ name }) => name.startsWith('stranger'))
  }

  /** Flows that have to arrive, and then those that must not, until `end`. */
  async begin(): Promise<void> {
    for (const wish of [...this.#allowed(), ...this.#denied()]) await this.traffic.flow(wish)
    for (const { from, to } of pairsOf(this.strangers, this.strangers))
      for (const address of to.ips) this.traffic.ping(from.name, address)
  }

  /** Tells what was lost, what was cut, and what came through that must not. */
  async end(test: Test, what: string): Promise<void> {
    const { flows, pings } = await this.traffic.end()
    const allowed = flows.slice(0, this.#allowed().length)
    const denied = flows.slice(allowed.length)
    const lost = allowed.filter(({ count: { sent, echoed } }) => sent !== echoed)
    test.same(lost, [], `${what}: no message lost, none of ${sumOf(allowed)}, nor a connection`)
    const lostPings = pings.filter(({ sent, received }) => sent !== received)
    const asked = pings.reduce((sum, { sent }) => sum + sent, 0)
    test.same(lostPings, [], `${what}: none of ${asked} pings lost`)
    const leaked = denied.filter(({ count: { served } }) => served > 0)
    test.same(leaked, [], `${what}: none of ${sumOf(denied)} forbidden datagrams got through`)
    const idle = [...flows].filter(({ count: { sent } }) => sent < sentMin)
    test.same(idle, [], `${what}: every flow went on all the while`)
  }

  /** New connections and datagrams: true if each goes as the policy says. */
  async wrongAnswers(): Promise<readonly string[]> {
    const probes = this.#probes()
    const answers = await this.traffic.ask(probes.map(({ probe }) => probe))
    return probes.flatMap(({ probe, to, wanted }, at) =>
      answers[at] === wanted
        ? []
        : [`${probe.from} > ${to} ${probe.port}/${probe.protocol}: ${answers[at]}`],
    )
  }

  /** Policies and Services are in force everywhere. */
  async settled(): Promise<void> {
    await until('policies in force and Services there', async () => {
      const wrong = await this.wrongAnswers()
      if (wrong.length > 0) throw new Error(wrong.slice(0, 5).join('; '))
      return true
    })
  }

  close(): void {
    this.traffic.close()
  }

  #allowed(): readonly FlowWish[] {
    const direct = pairsOf(this.peers, this.peers).flatMap(({ from, to }) =>
      flowsTo(from, to.name, to.ips, openPort),
    )
    const served = this.peers.flatMap((from) =>
      flowsTo(from, 'service', this.#serviceAddresses, openPort),
    )
    return [...direct, ...served]
  }

  /** What ingress forbids by who asks, and by the port; and what egress forbids. */
  #denied(): readonly FlowWish[] {
    const all = [
      ...pairsOf(this.strangers, this.peers).map((pair) => ({ ...pair, port: openPort })),
      ...pairsOf(this.peers, this.peers).map((pair) => ({ ...pair, port: closedPort })),
      ...pairsOf(this.peers, this.strangers).map((pair) => ({ ...pair, port: openPort })),
    ]
    // Of both families and protocols a part, in turn: datagrams show a gap, TCP waits seconds.
    return all.flatMap(({ from, to, port }, at) =>
      flowsTo(from, to.name, to.ips.slice(at % 2, (at % 2) + 1), port).filter(
        ({ protocol }) => protocol === 'UDP',
      ),
    )
  }

  #probes(): readonly { probe: Probe; to: string; wanted: Answer }[] {
    const wishes = [
      ...this.#allowed().map((probe) => ({ probe, wanted: 'answered' as const })),
      ...this.#denied().map((probe) => ({ probe, wanted: 'silent' as const })),
      ...this.#denied().map((probe) => ({
        probe: { ...probe, protocol: 'TCP' as const },
        wanted: 'silent' as const,
      })),
    ]
    return wishes.map(({ probe, wanted }) => ({ probe, to: probe.to, wanted }))
  }
}

/** Of a quarter of a minute and more, on a machine that is busy with other things. */
const sentMin = 100

const sumOf = (flows: Ended['flows']): number =>
  flows.reduce((sum, { count }) => sum + count.sent, 0)

type Pair = Readonly<{ from: LivePod; to: LivePod }>

/** Between nodes; every pair of them, both ways. */
const pairsOf = (sources: readonly LivePod[], targets: readonly LivePod[]): readonly Pair[] =>
  sources.flatMap((from) =>
    targets.filter(({ node }) => node !== from.node).map((to) => ({ from, to })),
  )

const flowsTo = (
  { name: from }: LivePod,
  to: string,
  addresses: readonly string[],
  port: number,
): readonly FlowWish[] =>
  addresses.flatMap((address) =>
    protocols.map((protocol) => ({ from, to, address, protocol, port })),
  )
