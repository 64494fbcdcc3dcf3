import { type Test, test } from 'tap'
import { type Cluster, type Member, type NodeWish, three, withCluster } from './cluster.ts'
import { until } from './running-agent.ts'

// What others take away comes back by the event, long before the next look at everything (30 s).

const ofRoutes = ({ host }: Member, family: 4 | 6): string =>
  host.netns
    .ip(`-${family}`, 'route', 'show', 'proto', '116')
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
    .toSorted()
    .join('\n')
const ofForwarding = ({ host }: Member): string =>
  ['tulle.1', 'tulle-v6.1']
    .map((dev) => host.netns.exec(['bridge', 'fdb', 'show', 'dev', dev]).stdout)
    .join('')
const ofNeighbours = ({ host }: Member): string =>
  ['tulle.1', 'tulle-v6.1']
    .map((dev) => host.netns.ip('neigh', 'show', 'dev', dev, 'nud', 'permanent'))
    .join('')
const ofDevices = ({ host }: Member): string =>
  JSON.stringify(
    ['tulle.1', 'tulle-v6.1'].map((dev) => {
      const [link] = host.netns.ipJson('addr', 'show', 'dev', dev)
      const { address, mtu, flags, addr_info: addresses } = link ?? {}
      const locals = (addresses as readonly { local: string }[]).map(({ local }) => local)
      return { address, mtu, isUp: (flags as readonly string[]).includes('UP'), locals }
    }),
  )
const ofSysctls = ({ host }: Member): string =>
  ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding']
    .map((key) => host.netns.exec(['sysctl', '-n', key]).stdout)
    .join('')

const ofNftables = ({ host }: Member): string =>
  host.netns.exec(['nft', 'list', 'table', 'inet', 'tulle']).stdout

const everything = (member: Member): string =>
  [
    ofNftables(member),
    ofRoutes(member, 4),
    ofRoutes(member, 6),
    ofForwarding(member),
    ofNeighbours(member),
    ofDevices(member),
    ofSysctls(member),
  ].join('\n')

const ip =
  (...words: readonly string[]) =>
  ({ host }: Member): void =>
    void host.netns.ip(...words)
const run =
  (...argv: readonly string[]) =>
  ({ host }: Member): void => {
    const done = host.netns.exec(argv)
    if (done.code !== 0) throw new Error(`${argv.join(' ')}: ${done.stderr}`)
  }

type Damage = {
  readonly why: string
  readonly act: (member: Member) => void
  readonly kind: string
}

const damages: readonly Damage[] = [
  { why: 'a route in the tunnel', act: ip('route', 'del', '10.244.3.0/24'), kind: 'route' },
  { why: 'a plain route', act: ip('route', 'del', '10.244.2.0/24'), kind: 'route' },
  { why: 'an IPv6 route', act: ip('-6', 'route', 'del', 'fd10:3::/64'), kind: 'route' },
  { why: 'all IPv4 routes of ours', act: ip('route', 'flush', 'proto', '116'), kind: 'route' },
  {
    why: 'all IPv6 routes of ours',
    act: ip('-6', 'route', 'flush', 'proto', '116'),
    kind: 'route',
  },
  {
    why: 'a route that leads elsewhere now',
    act: ip(
      'route',
      'replace',
      '10.244.3.0/24',
      'via',
      '10.0.0.2',
      'proto',
      '116',
      'src',
      '10.0.0.1',
    ),
    kind: 'route',
  },
  {
    why: 'the forwarding entries',
    act: ({ host }) => {
      const lines = host.netns.exec(['bridge', 'fdb', 'show', 'dev', 'tulle.1']).stdout
      for (const mac of lines.match(/^\S+/gm) ?? [])
        host.netns.exec(['bridge', 'fdb', 'del', mac, 'dev', 'tulle.1'])
    },
    kind: 'fdb',
  },
  {
    why: 'a forwarding entry that leads elsewhere now',
    act: run('bridge', 'fdb', 'replace', '02:74:0a:01:00:03', 'dev', 'tulle.1', 'dst', '10.9.9.9'),
    kind: 'fdb',
  },
  {
    why: 'the neighbours',
    act: ip('neigh', 'flush', 'dev', 'tulle.1', 'nud', 'permanent'),
    kind: 'neighbour',
  },
  {
    why: 'the IPv6 neighbours',
    act: ip('-6', 'neigh', 'flush', 'dev', 'tulle-v6.1', 'nud', 'permanent'),
    kind: 'neighbour',
  },
  { why: 'the tunnel device', act: ip('link', 'del', 'tulle.1'), kind: 'device' },
  { why: 'the IPv6 tunnel device', act: ip('link', 'del', 'tulle-v6.1'), kind: 'device' },
  {
    why: 'both tunnel devices',
    act: (member) => {
      ip('link', 'del', 'tulle-v6.1')(member)
      ip('link', 'del', 'tulle.1')(member)
    },
    kind: 'device',
  },
  { why: 'a device that is down', act: ip('link', 'set', 'tulle.1', 'down'), kind: 'device' },
  { why: "the device's MTU", act: ip('link', 'set', 'tulle.1', 'mtu', '1300'), kind: 'device' },
  {
    why: "the device's MAC",
    act: ip('link', 'set', 'tulle.1', 'address', '02:00:00:00:00:01'),
    kind: 'device',
  },
  {
    why: "the device's address",
    act: ip('addr', 'flush', 'dev', 'tulle.1', 'scope', 'global'),
    kind: 'device',
  },
  {
    why: 'a learnt entry switched on',
    act: ip('link', 'set', 'tulle.1', 'type', 'vxlan', 'id', '1', 'learning'),
    kind: 'device',
  },
  { why: 'our table', act: run('nft', 'delete', 'table', 'inet', 'tulle'), kind: 'nftables' },
  { why: 'every table', act: run('nft', 'flush', 'ruleset'), kind: 'nftables' },
  {
    why: 'what is inside the cluster',
    act: run('nft', 'flush', 'set', 'inet', 'tulle', 'cluster4'),
    kind: 'nftables',
  },
  { why: 'forwarding', act: run('sysctl', '-wq', 'net.ipv4.ip_forward=0'), kind: 'sysctl' },
  {
    why: 'IPv6 forwarding',
    act: run('sysctl', '-wq', 'net.ipv6.conf.all.forwarding=0'),
    kind: 'sysctl',
  },
]

async function healed(t: Test, cluster: Cluster, { why, act, kind }: Damage): Promise<void> {
  const member = cluster.get('a')
  const before = everything(member)
  const { drift } = await member.agent.status()
  act(member)
  const took = performance.now()
  await until(`${why} is back`, () => {
    const now = everything(member)
    if (now !== before) throw new Error(`${before}\n---\n${now}`)
    return true
  })
  const seconds = (performance.now() - took) / 1000
  t.ok(seconds < 5, `${why}: back after ${seconds.toFixed(2)} s, not at the next resync`)
  await until('the repair is counted', async () => {
    const after = (await member.agent.status()).drift
    return (after.byKind[kind] ?? 0) > (drift.byKind[kind] ?? 0)
  })
}

test('what is taken away comes back, and is counted', (t) =>
  withCluster(three, async (cluster) => {
    for (const damage of damages) await healed(t, cluster, damage)
    await cluster.allReach()
    const { findings, lastErrors, loops } = await cluster.get('a').agent.status()
    t.same(findings, [])
    t.same(lastErrors, [])
    t.equal(loops.find(({ name }) => name === 'fabric')?.errors, 0)
  }))

test("somebody else's state is left alone", (t) =>
  withCluster(three, async (cluster) => {
    const member = cluster.get('a')
    ip('route', 'add', '198.51.100.0/24', 'via', '10.0.0.2')(member)
    ip('route', 'add', '198.51.101.0/24', 'via', '10.0.0.2', 'proto', '84')(member)
    ip('neigh', 'add', '10.0.0.99', 'lladdr', '02:00:00:00:00:99', 'dev', 'eth0')(member)
    ip('link', 'add', 'vx9', 'type', 'vxlan', 'id', '9', 'dstport', '9999', 'dev', 'eth0')(member)
    ip('link', 'del', 'tulle.1')(member)
    await until('the device is back', () => member.host.netns.ip('link', 'show', 'tulle.1'))
    await cluster.allReach()
    t.match(member.host.netns.ip('route'), /198.51.100.0\/24[\s\S]*198.51.101.0\/24/)
    t.match(member.host.netns.ip('neigh', 'show', 'nud', 'permanent'), '10.0.0.99')
    t.match(member.host.netns.ip('link'), 'vx9')
  }))

const two: readonly NodeWish[] = three.filter(({ name }) => name !== 'b')

test('an uplink that is deleted and made again: the tunnel outlives it', (t) =>
  withCluster(three, async (cluster) => {
    const member = cluster.get('a')
    const index = member.host.netns.ipJson('link', 'show', 'dev', 'tulle.1')[0]?.ifindex
    const mac = String(member.host.netns.ipJson('link', 'show', 'dev', 'eth0')[0]?.address)
    await cluster.allReach()
    ip('link', 'del', 'eth0')(member)
    await until('the loss is told', async () =>
      (await member.agent.status()).findings.some(({ check }) => check === 'no-uplink'),
    )
    member.host.plugUplink()
    // as a machine's NIC: others would find out by themselves, but not before half a minute
    ip('link', 'set', 'eth0', 'address', mac)(member)
    await cluster.allReach()
    t.equal(member.host.netns.ipJson('link', 'show', 'dev', 'tulle.1')[0]?.ifindex, index)
    await until('nothing is wrong any more', async () => {
      const { findings } = await member.agent.status()
      return findings.length === 0
    })
  }))

test('an uplink that is down for a moment: routes by it come back', (t) =>
  withCluster(three, async (cluster) => {
    const member = cluster.get('a')
    ip('link', 'set', 'eth0', 'down')(member)
    ip('link', 'set', 'eth0', 'up')(member)
    // IPv6 addresses go with the link's state, which is the host's own configuration's to mend
    ip('addr', 'replace', 'fd00:0::1/64', 'dev', 'eth0', 'nodad')(member)
    await until('the plain routes are back', () => {
      const routes = ofRoutes(member, 4) + ofRoutes(member, 6)
      return routes.includes('10.244.2.0/24') && routes.includes('fd10:2::/64')
    })
    t.pass()
  }))

test("an uplink's new MTU reaches the tunnel", (t) =>
  withCluster(two, async (cluster) => {
    const member = cluster.get('a')
    ip('link', 'set', 'eth0', 'mtu', '1400')(member)
    await until('the tunnel follows', async () => {
      const { self } = await member.agent.status()
      return self?.devices.map(({ mtuBytes }) => mtuBytes).join() === '1350,1330'
    })
    const [link] = member.host.netns.ipJson('link', 'show', 'dev', 'tulle.1')
    t.equal(link?.mtu, 1350)
  }))
