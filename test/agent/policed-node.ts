import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { at } from '../../src/cluster/json-value.ts'
import { call, type Json } from '../support/cni.ts'
import { makeNetns, type Netns, runLater } from '../support/netns.ts'
import type { Api } from './api.ts'
import { type Cluster, type Member, type NodeWish, three, withKubernetes } from './cluster.ts'
import { until } from './running-agent.ts'

export type PodWish = {
  /** Made before policies were asked for. */
  readonly isOlder?: boolean
  readonly name: string
  readonly labels?: Readonly<Record<string, string>>
  readonly namespace?: string
  /** What the runtime asks for; else the next one. */
  readonly address?: string
  readonly annotations?: Readonly<Record<string, string>>
}

const port = 8080

/** Answers a line by the same line, to anybody, for ever. */
const echo = `
  use IO::Socket::IP;
  $SIG{CHLD} = 'IGNORE';
  my $s = IO::Socket::IP->new(LocalHost => '::', LocalPort => ${port}, Listen => 64, ReuseAddr => 1,
    V6Only => 0) or die "listen: $@";
  $| = 1; print "listening\\n";
  while (my $c = $s->accept) { next if fork; $c->autoflush(1); print $c $_ while <$c>; exit 0 }
`

/** One exchange within a second. */
const tryOnce = `
  use IO::Socket::IP;
  alarm 1;
  my $s = IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => $ARGV[1], Timeout => 1) or exit 1;
  $s->autoflush(1); print $s "hello\\n"; my $l = <$s>; exit(defined $l ? 0 : 1)
`

/** A pod of node "a", made by the packaged plugin, that listens on a port. */
export class Pod {
  readonly netns: Netns
  readonly wish: PodWish
  readonly addresses: readonly string[]
  readonly #server: ChildProcess

  constructor(wish: PodWish, netns: Netns, addresses: readonly string[], server: ChildProcess) {
    this.wish = wish
    this.netns = netns
    this.addresses = addresses
    this.#server = server
  }

  get path(): string {
    return podPath(this.wish)
  }

  close(): void {
    // Its children too: one that serves a connection that was cut hears of no end.
    if (this.#server.pid !== undefined) process.kill(-this.#server.pid, 'SIGKILL')
    this.netns.close()
  }
}

export const podPath = ({ namespace = 'shop', name }: PodWish): string =>
  `/api/v1/namespaces/${namespace}/pods/${name}`

/** A cluster of one node with an agent and the API, and a second node without one. */
export class PolicedNode {
  readonly cluster: Cluster
  readonly #api: Api | undefined
  readonly #pods: Pod[] = []

  constructor(cluster: Cluster, api?: Api) {
    this.cluster = cluster
    this.#api = api
  }

  get api(): Api {
    if (!this.#api) throw new Error('This cluster has no API')
    return this.#api
  }

  get member(): Member {
    return this.cluster.get('a')
  }

  create(kind: 'namespaces' | 'pods', namespace: string, object: Json): Promise<Json> {
    const path =
      kind === 'namespaces' ? '/api/v1/namespaces' : `/api/v1/namespaces/${namespace}/pods`
    return this.api.ask('POST', path, object)
  }

  /** The API's object alone: what runs elsewhere, or not at all. */
  tell({ name, labels = {}, namespace = 'shop', annotations }: PodWish, status: Json = {}) {
    return this.create('pods', namespace, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace, labels, ...(annotations ? { annotations } : {}) },
      spec: { nodeName: 'a', containers: [{ name: 'c', ports: [{ containerPort: port }] }] },
      status: { phase: 'Running', ...status },
    })
  }

  /** As a kubelet does it: the object first, then the sandbox, then its address. */
  async run(wish: PodWish): Promise<Pod> {
    const told = await this.tell(wish)
    const pod = this.sandbox(wish, String(at(told, 'metadata', 'uid')))
    await this.api.ask('PATCH', `${pod.path}/status`, { status: this.statusOf(pod) })
    return pod
  }

  statusOf({ addresses }: Pod): Json {
    return { podIP: addresses[0], podIPs: addresses.map((ip) => ({ ip })) }
  }

  /** @param waitSeconds how long ADD waits for the agent. */
  sandbox(wish: PodWish, uid: string, waitSeconds = 5): Pod {
    const netns = makeNetns('pod')
    const added = this.#ask('ADD', wish, { uid, netns, waitSeconds })
    const addresses = (added.ips as readonly { address: string }[]).map(
      ({ address }) => address.split('/')[0] ?? '',
    )
    const server = spawn('nsenter', [`--net=${netns.path}`, 'perl', '-e', echo], {
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const pod = new Pod(wish, netns, addresses, server)
    this.#pods.push(pod)
    return pod
  }

  remove(pod: Pod): void {
    this.#ask('DEL', pod.wish, { uid: '', netns: pod.netns, waitSeconds: 0 })
  }

  #ask(
    verb: 'ADD' | 'DEL',
    { name, namespace = 'shop', address, isOlder }: PodWish,
    { uid, netns, waitSeconds }: { uid: string; netns: Netns; waitSeconds: number },
  ): Json {
    const { host, agent } = this.member
    const ranges = host.node.podCIDRs.map(({ address: { family } }) => [
      { subnet: family === 4 ? '10.244.1.0/24' : 'fd10:1::/64' },
    ])
    const conf = {
      cniVersion: '1.0.0',
      name: 'tulle',
      type: 'tulle',
      mode: 'routed',
      mtu: 1400,
      ...(isOlder
        ? {}
        : { policy: { enforce: true, waitSeconds, runDir: join(agent.folder, 'run') } }),
      dataDir: join(agent.folder, 'data'),
      ipam: { type: 'host-local', ranges, dataDir: join(agent.folder, 'data') },
    }
    const asked = address === undefined ? '' : `;IP=${address}`
    const ran = call({
      verb,
      conf,
      node: host.netns,
      container: netns.name,
      netns: netns.path,
      ifname: 'eth0',
      path: '/opt/cni/bin',
      args:
        `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name}` +
        `;K8S_POD_UID=${uid}${asked}`,
    })
    if (ran.code !== 0) throw new Error(`${verb}: ${ran.stdout}${ran.stderr}`)
    return ran.stdout === '' ? {} : (JSON.parse(ran.stdout) as Json)
  }

  put(policy: Json): Promise<Json> {
    const isCilium = policy.apiVersion === 'cilium.io/v2'
    return this.api.ask('POST', `${policyFolder(isCilium)}`, policy)
  }

  /** The agent has enforced all that it was told. */
  async settled(): Promise<void> {
    await until('an agent that has nothing left to do', async () => {
      const { policy } = await this.member.agent.status()
      return policy !== undefined && policy.pending === undefined && policy.lagSeconds === undefined
    })
  }

  close(): void {
    for (const pod of this.#pods) pod.close()
  }
}

export const policyFolder = (isCilium: boolean): string =>
  isCilium
    ? '/apis/cilium.io/v2/namespaces/shop/ciliumnetworkpolicies'
    : '/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies'

export const networkPolicy = (name: string, spec: Json): Json => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name, namespace: 'shop' },
  spec,
})

/** Only pods of the app "client" reach those of the app "api". */
export const fromClients = networkPolicy('from-clients', {
  podSelector: { matchLabels: { app: 'api' } },
  ingress: [{ from: [{ podSelector: { matchLabels: { app: 'client' } } }] }],
})

/** One exchange of a line, over TCP. */
export async function talks(from: Netns, address: string): Promise<boolean> {
  const words = ['nsenter', `--net=${from.path}`, 'perl', '-e', tryOnce, address, String(port)]
  return (await runLater(words)).code === 0
}

/** At first refused is not yet refused: the exchange fails, or works, sooner or later. */
export const talksSoon = (from: Netns, address: string): Promise<boolean> =>
  until(`a way to ${address}`, () => talks(from, address))
export const isRefusedSoon = (from: Netns, address: string): Promise<boolean> =>
  until(`no way to ${address}`, async () => !(await talks(from, address)))

/** A connection that goes on for as long as the test wants; counts its exchanges. */
export class LiveConnection {
  readonly #child: ChildProcess
  #exchanges = 0
  #lost = false

  constructor(from: Netns, address: string) {
    const program = `
      use IO::Socket::IP;
      $| = 1;
      my $s = IO::Socket::IP->new(PeerHost => '${address}', PeerPort => ${port}) or die;
      $s->autoflush(1);
      while (1) {
        print $s "x\\n"; defined(<$s>) or last; print "x";
        select(undef, undef, undef, 0.002)
      }
    `
    this.#child = spawn('nsenter', [`--net=${from.path}`, 'perl', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#child.stdout?.on('data', (bytes: Buffer) => {
      this.#exchanges += bytes.length
    })
    this.#child.on('exit', () => {
      this.#lost = true
    })
  }

  get exchanges(): number {
    return this.#exchanges
  }

  /** That many more exchanges. */
  async more(count: number): Promise<void> {
    const wanted = this.#exchanges + count
    while (this.#exchanges < wanted && !this.#lost)
      await once(this.#child.stdout as NodeJS.EventEmitter, 'data')
    if (this.#lost) throw new Error('the connection ended')
  }

  close(): void {
    this.#child.kill('SIGKILL')
  }
}

export async function withPolicedNode(
  use: (node: PolicedNode) => Promise<void>,
  words: readonly string[] = [],
): Promise<void> {
  const wishes: readonly NodeWish[] = three.slice(0, 2)
  await withKubernetes(
    wishes,
    async (cluster, api) => {
      const node = new PolicedNode(cluster, api)
      try {
        await node.create('namespaces', '', {
          apiVersion: 'v1',
          kind: 'Namespace',
          metadata: { name: 'shop', labels: { 'kubernetes.io/metadata.name': 'shop' } },
        })
        await use(node)
      } finally {
        node.close()
      }
    },
    words,
  )
}
