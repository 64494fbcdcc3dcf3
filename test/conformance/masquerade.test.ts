import t, { type Test } from 'tap'
import { added, addressesOf, deleted, type Mode, modes, netconf } from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { countArrivals, countEach, sendFrame, udpFrame } from '../support/frames.ts'
import { type Host, type Pod, uplink, withHost } from '../support/host.ts'
import type { Netns } from '../support/netns.ts'
import { picture } from '../support/residue.ts'

t.setTimeout(240_000)

const network = (host: Host, mode: Mode, keys: Json): Json =>
  netconf(host, {
    mode,
    families: 'dual',
    keys,
    ipam: { routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }] },
  })

function answered(from: Netns, to: string): boolean {
  return from.exec(['/usr/bin/ping', '-n', '-c', '1', '-W', '1', to]).code === 0
}

/** What arrives outside, by source address: the pod's own, or the node's. */
function seenOutside(pod: Pod, target: string, sources: readonly string[]): readonly number[] {
  const family = target.includes(':') ? 'ip6' : 'ip'
  const echo = family === 'ip' ? 'icmp type echo-request' : 'icmpv6 type echo-request'
  const read = countEach(
    pod.host.outside,
    'out0',
    sources.map((source) => `${family} saddr ${source} ${family} daddr ${target} ${echo}`),
  )
  pod.netns.exec(['/usr/bin/ping', '-n', '-c', '1', '-W', '0.2', target])
  return read()
}

type Destination = Readonly<{ why: string; to: string; masked: boolean }>

/** Addresses of the outside, all of them on its `lo`, so that only the destination differs. */
const destinations: readonly Destination[] = [
  { why: 'the neighbour of the node', to: uplink.outside.v4, masked: true },
  { why: 'IPv6, the neighbour of the node', to: uplink.outside.v6, masked: true },
  { why: 'far away', to: '203.0.113.9', masked: true },
  { why: 'IPv6, far away', to: '2001:db8:9::9', masked: true },
  { why: 'first address of a listed network', to: '198.51.100.0', masked: false },
  { why: 'last address of a listed network', to: '198.51.100.127', masked: false },
  { why: 'just behind a listed network', to: '198.51.100.128', masked: true },
  { why: 'a listed single address', to: '198.51.100.200', masked: false },
  { why: 'IPv6, in a listed network', to: '2001:db8:1:ffff::1', masked: false },
  { why: 'IPv6, beside a listed network', to: '2001:db8:2::1', masked: true },
]
const listed = ['198.51.100.0/25', '198.51.100.200/32', '2001:db8:1::/48', '198.51.100.0/26']

function expectMasquerade(t: Test, host: Host, mode: Mode): void {
  for (const { to } of destinations.slice(2)) {
    host.outside.ip('addr', 'add', `${to}/${to.includes(':') ? 128 : 32}`, 'dev', 'lo')
  }
  const pod = host.pod()
  const conf = network(host, mode, { ipMasq: true, nonMasqueradeCIDRs: listed })
  const [v4 = '', v6 = ''] = addressesOf(added(pod, conf))
  for (const { why, to, masked } of destinations) {
    const [own, node] = to.includes(':') ? [v6, uplink.node.v6] : [v4, uplink.node.v4]
    t.same(seenOutside(pod, to, [own, node]), masked ? [0, 1] : [1, 0], why)
  }
  t.ok(answered(pod.netns, uplink.outside.v4), 'the answer finds its way back')
  t.ok(answered(pod.netns, uplink.outside.v6))
  deleted(pod, conf)
}

/** Between pods of one network and towards multicast the pod's own address has to stay. */
function expectOwnAddress(t: Test, host: Host, mode: Mode): void {
  const conf = network(host, mode, { ipMasq: true })
  const [one, two] = [host.pod(), host.pod()]
  const from = addressesOf(added(one, conf))
  for (const [index, to] of addressesOf(added(two, conf)).entries()) {
    const family = index === 0 ? 'ip' : 'ip6'
    const read = countArrivals(two.netns, 'eth0', `${family} saddr ${from[index]}`)
    t.ok(answered(one.netns, to))
    t.ok(read() >= 1, `${to} sees the pod’s own address`)
  }
  // With br_netfilter a frame from port to port passes the masquerade too.
  const [source = ''] = from
  const arrived = countArrivals(two.netns, 'eth0', `ip saddr ${source} ip daddr 224.9.9.9`)
  const macOf = (netns: Netns, name: string): string =>
    String(netns.ipJson('link', 'show', name)[0]?.address)
  const sourceMac = macOf(one.netns, 'eth0')
  const group = { target: '224.9.9.9', targetMac: '01:00:5e:09:09:09' }
  sendFrame(one.netns, 'eth0', udpFrame({ source, sourceMac, ...group }))
  t.equal(arrived(), mode === 'bridge' ? 1 : 0, 'a multicast group sees who speaks')
  deleted(two, conf)
  deleted(one, conf)
}

for (const mode of modes) {
  t.test(`${mode}: masquerade, and destinations to leave alone`, (t) =>
    withHost((host) => expectMasquerade(t, host, mode)),
  )
  t.test(`${mode}: pods of one network see one another’s address`, (t) =>
    withHost((host) => expectOwnAddress(t, host, mode)),
  )
  t.test(`${mode}: without ipMasq the pod’s address goes out`, (t) =>
    withHost((host) => {
      const pod = host.pod()
      const conf = network(host, mode, { ipMasq: false })
      const [v4 = ''] = addressesOf(added(pod, conf))
      t.same(seenOutside(pod, uplink.outside.v4, [v4, uplink.node.v4]), [1, 0])
      deleted(pod, conf)
    }),
  )
}

t.test('pods with different lists on one node do not disturb one another', (t) =>
  withHost((host) => {
    const [one, two] = [host.pod(), host.pod()]
    host.outside.ip('addr', 'add', '198.51.100.1/32', 'dev', 'lo')
    const open = network(host, 'routed', { ipMasq: true })
    const listing = network(host, 'routed', { ipMasq: true, nonMasqueradeCIDRs: listed })
    const [masked = ''] = addressesOf(added(one, open))
    const [plain = ''] = addressesOf(added(two, listing))
    t.same(seenOutside(one, '198.51.100.1', [masked, uplink.node.v4]), [0, 1])
    t.same(seenOutside(two, '198.51.100.1', [plain, uplink.node.v4]), [1, 0])
    deleted(one, open)
    t.same(seenOutside(two, '198.51.100.1', [plain, uplink.node.v4]), [1, 0])
    deleted(two, listing)
  }),
)

t.test('the number of rules does not grow with the pods', (t) =>
  withHost((host) => {
    for (const mode of modes) {
      const keys = { ipMasq: true, nonMasqueradeCIDRs: listed, bridge: 'cni1' }
      const conf = network(host, mode, keys)
      const rules = (): number => {
        const text = host.netns.exec(['/usr/sbin/nft', '-j', 'list', 'ruleset']).stdout
        return text.split('"rule":').length
      }
      const pods = [host.pod(), host.pod(), host.pod(), host.pod()]
      const counts = pods.map((pod) => {
        added(pod, { ...conf, name: mode })
        return rules()
      })
      t.equal(new Set(counts).size, 1, `${mode}: ${counts}`)
      for (const pod of pods) deleted(pod, { ...conf, name: mode })
      t.notMatch(picture(host.netns).join('\n'), 'tulle')
    }
  }),
)
