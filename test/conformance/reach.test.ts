import t, { type Test } from 'tap'
import {
  add,
  added,
  addressesOf,
  deleted,
  type Mode,
  modes,
  netconf,
  pools,
} from '../support/attachment.ts'
import { type Host, type Pod, uplink, withHost } from '../support/host.ts'
import type { Netns } from '../support/netns.ts'

t.setTimeout(240_000)

/** One echo request, one second: true if it was answered. */
function reaches(from: Netns, to: string): boolean {
  return from.exec(['/usr/bin/ping', '-n', '-c', '1', '-W', '1', to]).code === 0
}

const gateways = [pools.v4.gateway, pools.v6.gateway]
const network = (host: Host, mode: Mode, keys = {}) =>
  netconf(host, {
    mode,
    families: 'dual',
    ipam: { routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }] },
    keys,
  })

/**
 * The very first packet after ADD has to arrive: no wait for duplicate address detection, for a
 * bridge port to forward, or for an address to be resolved.
 */
function firstPacket(t: Test, host: Host, mode: Mode): void {
  const conf = network(host, mode)
  for (const target of ['gateway', 'uplink', 'own', 'other'] as const) {
    for (const family of [0, 1] as const) {
      const [one, two] = [host.pod(), host.pod()]
      const other = addressesOf(added(two, conf))
      const own = addressesOf(added(one, conf))
      const to = {
        gateway: gateways[family],
        uplink: [uplink.node.v4, uplink.node.v6][family],
        own: own[family],
        other: other[family],
      }[target]
      t.ok(reaches(one.netns, to ?? ''), `pod to ${target} ${to}, first packet`)
      deleted(one, conf)
      deleted(two, conf)
    }
  }
  for (const family of [0, 1] as const) {
    const pod = host.pod()
    const address = addressesOf(added(pod, conf))[family] ?? ''
    t.ok(reaches(host.netns, address), `host to pod ${address}, first packet`)
    deleted(pod, conf)
  }
}

function everyPair(t: Test, host: Host, mode: Mode): void {
  const conf = network(host, mode)
  const pods = [host.pod(), host.pod(), host.pod()]
  const addresses = pods.map((pod) => addressesOf(added(pod, conf)))
  for (const [from, pod] of pods.entries()) {
    for (const [to, each] of addresses.entries()) {
      for (const address of each) t.ok(reaches(pod.netns, address), `${from} to ${to}, ${address}`)
    }
  }
  for (const pod of pods) deleted(pod, conf)
}

function afterReuse(t: Test, host: Host, mode: Mode): void {
  const subnets = [[{ subnet: '10.77.0.0/30' }], [{ subnet: 'fd00:77::/126' }]]
  const conf = netconf(host, { mode, families: 'dual', ipam: { ranges: subnets } })
  const seen: string[] = []
  for (const time of ['first', 'second', 'third']) {
    const pod = host.pod()
    const [v4 = ''] = addressesOf(added(pod, conf))
    seen.push(v4)
    t.ok(reaches(host.netns, v4), `${time} owner of ${v4}: no stale neighbour entry`)
    deleted(pod, conf)
  }
  t.equal(new Set(seen).size, 1, 'it was one address all the time')
}

/** A packet as large as the MTU, not to be fragmented. */
function fullSize(t: Test, host: Host, mode: Mode): void {
  const conf = network(host, mode)
  const [one, two] = [host.pod(), host.pod()]
  added(one, conf)
  const [v4 = ''] = addressesOf(added(two, conf))
  const payload = String(1500 - 28)
  const ping = ['/usr/bin/ping', '-n', '-c', '1', '-W', '1', '-M', 'do', '-s', payload, v4]
  t.equal(one.netns.exec(ping).code, 0)
  deleted(one, conf)
  deleted(two, conf)
}

for (const mode of modes) {
  t.test(mode, async (t) => {
    for (const [title, body] of [
      ['the first packet after ADD arrives', firstPacket],
      ['every pod reaches every pod', everyPair],
      ['an address that is used again', afterReuse],
      ['packets as large as the MTU', fullSize],
    ] as const) {
      await t.test(title, (t) => withHost((host) => body(t, host, mode)))
    }
  })
}

const setting = (netns: Netns, name: string): string =>
  netns.exec(['/usr/bin/cat', `/proc/sys/net/${name}`]).stdout.trim()

const sysctlsOf = (pod: Pod, veth: string, mode: Mode): readonly (readonly unknown[])[] => [
  ['pod accept_ra', setting(pod.netns, 'ipv6/conf/eth0/accept_ra'), '0'],
  ['host end accept_ra', setting(pod.host.netns, `ipv6/conf/${veth}/accept_ra`), '0'],
  ...(mode === 'bridge'
    ? [['bridge accept_ra', setting(pod.host.netns, 'ipv6/conf/cni0/accept_ra'), '0']]
    : []),
  ['IPv4 forwarding', setting(pod.host.netns, 'ipv4/ip_forward'), '1'],
  ['IPv6 forwarding', setting(pod.host.netns, 'ipv6/conf/all/forwarding'), '1'],
]

for (const mode of modes) {
  t.test(`${mode}: sysctls and link-local addresses`, (t) =>
    withHost((host) => {
      const pod = host.pod()
      const conf = network(host, mode)
      const ran = add(pod, conf)
      t.match(ran.stderr, /ip_forward/, 'switching forwarding on is reported')
      const links = (JSON.parse(ran.stdout) as { interfaces: { name: string }[] }).interfaces
      const veth = links.at(-2)?.name ?? ''
      for (const [what, found, wanted] of sysctlsOf(pod, veth, mode))
        t.equal(found, wanted, `${what}`)
      const shown = host.netns.ipJson('-6', 'addr', 'show', 'dev', veth, 'scope', 'link')
      t.notMatch(JSON.stringify(shown), 'fe80', 'the host end has no link-local address')
      const again = add(host.pod(), conf)
      t.equal(again.stderr, '', 'and the second ADD has nothing to report')
      deleted(pod, conf)
    }),
  )

  t.test(`${mode}: IPv4 alone leaves IPv6 forwarding alone`, (t) =>
    withHost((host) => {
      added(host.pod(), netconf(host, { mode }))
      t.equal(setting(host.netns, 'ipv4/ip_forward'), '1')
      t.equal(setting(host.netns, 'ipv6/conf/all/forwarding'), '0')
    }),
  )
}
