import t, { type Test } from 'tap'
import {
  added,
  addressesOf,
  deleted,
  type Mode,
  modes,
  netconf,
  pools,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { arpFrame, countArrivals, emptyIp6Frame, sendFrame, udpFrame } from '../support/frames.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'

t.setTimeout(240_000)

/** Two pods; `one` sends, `two` and the host's end of `one` watch what gets through. */
type Scene = Readonly<{
  mode: Mode
  one: Pod
  two: Pod
  ones: Readonly<{ v4: string; v6: string; mac: string }>
  twos: Readonly<{ v4: string; v6: string; mac: string }>
  /** Where `one` has to send frames that are for `two`: to it on a bridge, else to the host end. */
  nextHop: string
}>

const wrongMac = '02:de:ad:be:ef:01'

type Row = Readonly<{
  why: string
  modes?: readonly Mode[]
  frame: (scene: Scene) => string
  /** What the frame looks like where it must not arrive, in nft's words. */
  match: (scene: Scene) => string
  arrives: boolean
}>

const ends = ({ ones, twos, nextHop }: Scene) => ({
  source: ones.v4,
  target: twos.v4,
  sourceMac: ones.mac,
  targetMac: nextHop,
})
const ends6 = (scene: Scene) => ({ ...ends(scene), source: scene.ones.v6, target: scene.twos.v6 })

const rows: readonly Row[] = [
  {
    why: 'IPv4 from its own address',
    frame: (scene) => udpFrame(ends(scene)),
    match: ({ ones }) => `ip saddr ${ones.v4} udp dport 9`,
    arrives: true,
  },
  {
    why: 'IPv6 from its own address',
    frame: (scene) => emptyIp6Frame(ends6(scene)),
    match: ({ ones }) => `ip6 saddr ${ones.v6} ip6 nexthdr 59`,
    arrives: true,
  },
  {
    why: 'IPv4 from an address nobody has',
    frame: (scene) => udpFrame({ ...ends(scene), source: '10.77.0.99' }),
    match: () => 'ip saddr 10.77.0.99',
    arrives: false,
  },
  {
    why: 'IPv4 from the outside',
    frame: (scene) => udpFrame({ ...ends(scene), source: '203.0.113.5' }),
    match: () => 'ip saddr 203.0.113.5',
    arrives: false,
  },
  {
    why: 'IPv4 from the gateway',
    frame: (scene) => udpFrame({ ...ends(scene), source: pools.v4.gateway }),
    match: () => `ip saddr ${pools.v4.gateway} udp dport 9`,
    arrives: false,
  },
  {
    why: 'IPv4 from the receiver',
    frame: (scene) => udpFrame({ ...ends(scene), source: scene.twos.v4 }),
    match: ({ twos }) => `ip saddr ${twos.v4}`,
    arrives: false,
  },
  {
    why: 'IPv4 from 127.0.0.1',
    frame: (scene) => udpFrame({ ...ends(scene), source: '127.0.0.1' }),
    match: () => 'ip saddr 127.0.0.1',
    arrives: false,
  },
  {
    why: 'IPv6 from another address of the pool',
    frame: (scene) => emptyIp6Frame({ ...ends6(scene), source: 'fd00:77::99' }),
    match: () => 'ip6 saddr fd00:77::99',
    arrives: false,
  },
  {
    why: 'IPv6 from the outside',
    frame: (scene) => emptyIp6Frame({ ...ends6(scene), source: '2001:db8:1::5' }),
    match: () => 'ip6 saddr 2001:db8:1::5',
    arrives: false,
  },
  {
    why: 'its own IPv4 address from another MAC',
    frame: (scene) => udpFrame({ ...ends(scene), sourceMac: wrongMac }),
    match: ({ ones }) => `ip saddr ${ones.v4} udp dport 9`,
    arrives: false,
  },
  {
    why: 'its own IPv6 address from another MAC',
    frame: (scene) => emptyIp6Frame({ ...ends6(scene), sourceMac: wrongMac }),
    match: ({ ones }) => `ip6 saddr ${ones.v6} ip6 nexthdr 59`,
    arrives: false,
  },
  {
    why: 'ARP for its own address',
    modes: ['bridge'],
    frame: (scene) => arpFrame(ends(scene)),
    match: ({ ones }) => `ether type arp ether saddr ${ones.mac}`,
    arrives: true,
  },
  {
    why: 'ARP that claims the gateway’s address',
    modes: ['bridge'],
    frame: (scene) => arpFrame({ ...ends(scene), source: pools.v4.gateway }),
    match: ({ ones }) => `ether type arp ether saddr ${ones.mac}`,
    arrives: false,
  },
  {
    why: 'ARP from another MAC',
    modes: ['bridge'],
    frame: (scene) => arpFrame({ ...ends(scene), sourceMac: wrongMac }),
    match: () => `ether type arp ether saddr ${wrongMac}`,
    arrives: false,
  },
  {
    why: 'ARP whose sender address is another MAC inside an honest frame',
    modes: ['bridge'],
    frame: (scene) => {
      const honest = arpFrame(ends(scene))
      const mac = scene.ones.mac.replaceAll(':', '')
      const at = honest.lastIndexOf(mac)
      return honest.slice(0, at) + wrongMac.replaceAll(':', '') + honest.slice(at + mac.length)
    },
    match: ({ ones }) => `ether type arp ether saddr ${ones.mac}`,
    arrives: false,
  },
  {
    why: 'a frame of another protocol from another MAC',
    modes: ['bridge'],
    frame: ({ twos }) =>
      `${twos.mac.replaceAll(':', '')}${wrongMac.replaceAll(':', '')}88b5${'00'.repeat(46)}`,
    match: () => `ether saddr ${wrongMac}`,
    arrives: false,
  },
]

function sceneOf(host: Host, mode: Mode, keys: Json): Scene {
  const conf = netconf(host, {
    mode,
    families: 'dual',
    keys,
    ipam: { routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }] },
  })
  const [one, two] = [host.pod(), host.pod()]
  const [first, second] = [added(one, conf), added(two, conf)]
  const endOf = (result: typeof first) => {
    const [v4 = '', v6 = ''] = addressesOf(result)
    return { v4, v6, mac: result.interfaces?.at(-1)?.mac ?? '' }
  }
  const twos = endOf(second)
  // so that nothing of the receiver's is answered or resolved in the middle of a count
  for (const pod of [one, two]) pod.netns.exec(['/usr/bin/ping', '-c1', '-W1', '10.77.0.1'])
  const hostEnd = first.interfaces?.at(0)?.mac ?? ''
  return {
    mode,
    one,
    two,
    ones: endOf(first),
    twos,
    nextHop: mode === 'bridge' ? twos.mac : hostEnd,
  }
}

function arrivals(scene: Scene, { frame, match }: Row): number {
  const read = countArrivals(scene.two.netns, 'eth0', match(scene))
  sendFrame(scene.one.netns, 'eth0', frame(scene))
  return read()
}

function expectGuard(t: Test, host: Host, mode: Mode): void {
  const scene = sceneOf(host, mode, {})
  for (const row of rows.filter(({ modes }) => modes?.includes(mode) ?? true)) {
    t.equal(arrivals(scene, row), row.arrives ? 1 : 0, row.why)
  }
}

for (const mode of modes) {
  t.test(`${mode}: what a pod may send`, (t) => withHost((host) => expectGuard(t, host, mode)))

  t.test(`${mode}: spoofCheck false lets foreign frames out`, (t) =>
    withHost((host) => {
      const scene = sceneOf(host, mode, { spoofCheck: false })
      const open = rows.filter(({ why }) => /outside|another MAC$|nobody/.test(why))
      for (const row of open.filter(({ modes }) => modes?.includes(mode) ?? true)) {
        // the host's own reverse path check is not ours, and differs by distribution
        for (const name of ['all', 'default']) {
          host.netns.exec(['/usr/sbin/sysctl', '-qw', `net.ipv4.conf.${name}.rp_filter=0`])
        }
        t.equal(arrivals(scene, row), 1, row.why)
      }
    }),
  )

  t.test(`${mode}: towards the host, by ordinary means`, (t) =>
    withHost((host) => {
      const pod = host.pod()
      const conf = netconf(host, { mode, ipam: { routes: [{ dst: '0.0.0.0/0' }] } })
      const veth = added(pod, conf).interfaces?.at(-2)?.name ?? ''
      const ping = (from: string): number =>
        pod.netns.exec(['/usr/bin/ping', '-n', '-c1', '-W1', '-I', from, '10.77.0.1']).code
      t.equal(ping('eth0'), 0, 'its own address is answered')
      pod.netns.ip('addr', 'add', '10.77.0.99/32', 'dev', 'eth0')
      host.netns.ip('route', 'add', '10.77.0.99/32', 'dev', mode === 'bridge' ? 'cni0' : veth)
      t.not(ping('10.77.0.99'), 0, 'an address that it gave itself is not')
      const mac = String(pod.netns.ipJson('link', 'show', 'eth0')[0]?.address)
      pod.netns.ip('link', 'set', 'eth0', 'address', wrongMac)
      t.not(ping('eth0'), 0, 'nor another MAC')
      pod.netns.ip('link', 'set', 'eth0', 'address', mac)
      t.equal(ping('eth0'), 0, 'the old MAC is answered again')
      deleted(pod, conf)
    }),
  )
}
