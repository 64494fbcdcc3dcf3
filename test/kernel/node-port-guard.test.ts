// The guard of node ports before a DNAT of kube-proxy's shape, asked by real packets.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'tap'
import { readNodePortGuard } from '../../src/agent/node-port-guard-key.ts'
import { NodePortSocket } from '../../src/kernel/node-port-socket.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { Lodger } from './node.ts'

const guarded = (text: string) => readNodePortGuard(text)?.value ?? []

/** Where pods listen, and what the node gives them: "tcp dport 30080 dnat to 10.9.0.2:8080". */
const [nodePort, podPort] = [30080, 8080]

const server = `
  use IO::Socket::IP; $| = 1;
  my $s = IO::Socket::IP->new(LocalHost => '::', LocalPort => $ARGV[0], Listen => 16, V6Only => 0,
    ReuseAddr => 1) or die "listen: $@";
  print "ready\\n"; while (my $c = $s->accept) { print $c "hello\\n"; close $c }
`
const client = `
  use IO::Socket::IP; alarm 1;
  my ($to, $port, $own) = @ARGV;
  my $s = IO::Socket::IP->new(PeerHost => $to, PeerPort => $port, ReuseAddr => 1,
    ($own ? (LocalPort => $own) : ())) or exit 1;
  my $l = <$s>; exit(defined $l ? 0 : 1)
`

class Place {
  readonly node = makeNetns('node')
  readonly pod = makeNetns('pod')
  readonly near = makeNetns('near')
  readonly other = makeNetns('other')
  readonly lodger = new Lodger(this.node)
  readonly guard = new NodePortSocket(this.lodger.native)
  readonly #servers: ChildProcess[] = []

  constructor() {
    this.#join(this.pod, 9)
    this.#join(this.near, 1)
    this.#join(this.other, 2)
    const forward = ['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']
    this.node.exec(forward)
    const table = `table inet proxy {
      chain nat { type nat hook prerouting priority dstnat
        ip daddr 10.1.0.1 tcp dport ${nodePort} dnat ip to 10.9.0.2:${podPort}
        ip daddr 10.2.0.1 tcp dport ${nodePort} dnat ip to 10.9.0.2:${podPort}
        ip6 daddr fd00:1::1 tcp dport ${nodePort} dnat ip6 to [fd00:9::2]:${podPort}
        ip6 daddr fd00:2::1 tcp dport ${nodePort} dnat ip6 to [fd00:9::2]:${podPort}
      }
    }\n`
    const made = this.node.exec(['nft', '-f', '-'], { input: table })
    if (made.code !== 0) throw new Error(made.stderr)
  }

  async listen(netns: Netns, port: number): Promise<void> {
    const child = spawn('nsenter', [`--net=${netns.path}`, 'perl', '-e', server, String(port)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#servers.push(child)
    await once(child.stdout, 'data')
  }

  close(): void {
    for (const one of this.#servers) one.kill('SIGKILL')
    this.guard.close()
    this.lodger.close()
    for (const one of [this.node, this.pod, this.near, this.other]) one.close()
  }

  #join(netns: Netns, number: number): void {
    this.node.ip('link', 'add', `v${number}`, 'type', 'veth', 'peer', 'eth0', 'netns', netns.name)
    for (const [one, name, host] of [
      [this.node, `v${number}`, 1],
      [netns, 'eth0', 2],
    ] as const) {
      one.ip('link', 'set', name, 'up')
      one.ip('addr', 'add', `10.${number}.0.${host}/24`, 'dev', name)
      one.ip('addr', 'add', `fd00:${number}::${host}/64`, 'dev', name, 'nodad')
    }
    netns.ip('route', 'add', 'default', 'via', `10.${number}.0.1`)
    netns.ip('route', 'add', 'default', 'via', `fd00:${number}::1`)
  }
}

const reaches = (from: Netns, to: string, port = nodePort, ...own: readonly string[]): boolean =>
  from.exec(['perl', '-e', client, to, String(port), ...own]).code === 0

/** The first neighbours of a new link take their time. */
const reachesSoon = (from: Netns, to: string): boolean =>
  [1, 2, 3, 4, 5].some(() => reaches(from, to))

async function withPlace(use: (place: Place) => Promise<void>): Promise<void> {
  const place = new Place()
  try {
    await place.listen(place.pod, podPort)
    await use(place)
  } finally {
    place.close()
  }
}

test('a NodePort is reached by the clients that are named, and by nobody else', (t) =>
  withPlace(async ({ near, other, guard }) => {
    for (const [from, number] of [
      [near, 1],
      [other, 2],
    ] as const)
      for (const to of [`10.${number}.0.1`, `fd00:${number}::1`]) t.ok(reachesSoon(from, to), to)
    guard.load(guarded('30000-32767/TCP=10.1.0.0/16,fd00:1::/32'))
    for (const to of ['10.1.0.1', 'fd00:1::1']) t.ok(reaches(near, to), to)
    t.equal(guard.refused(), 0)
    for (const to of ['10.2.0.1', 'fd00:2::1']) t.notOk(reaches(other, to), to)
    t.ok(guard.refused() > 0)
    t.ok(guard.isWhole())
    guard.load(guarded('30000-32767/UDP=;30081/TCP='))
    for (const to of ['10.2.0.1', 'fd00:2::1']) t.ok(reaches(other, to), 'another port, protocol')
    guard.remove()
    t.notOk(guard.isWhole())
    t.equal(guard.refused(), 0)
  }))

test('the way past the node, and what the node itself began, is not guarded', (t) =>
  withPlace(async (place) => {
    const { node, other, guard } = place
    guard.load(guarded('1-65535='))
    t.ok(reaches(other, '10.9.0.2', podPort), 'to the pod itself: that is for policies')
    await place.listen(other, 9000)
    t.ok(reaches(node, '10.2.0.2', 9000, '31000'), 'answers come to a guarded port')
    await place.listen(node, 9001)
    t.notOk(reaches(other, '10.2.0.1', 9001), "the node's own programs")
    t.ok(reaches(node, '127.0.0.1', 9001), 'from the node itself')
  }))
