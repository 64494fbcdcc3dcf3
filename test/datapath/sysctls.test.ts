import { test } from 'tap'
import type { Attachment } from '../../src/datapath/attachment.ts'
import {
  forwardingSysctls,
  hostSysctls,
  podSysctls,
  type Sysctl,
} from '../../src/datapath/sysctls.ts'
import { attachmentOf } from './attachments.ts'

const lines = (sysctls: readonly Sysctl[]): readonly string[] =>
  sysctls.map(({ side, path, value, need }) => `${side} ${need} ${path}=${value}`)

const l2 = (wanted: 'v4' | 'dual'): Attachment => {
  const attachment = attachmentOf('bridge', wanted)
  return { ...attachment, bridge: attachment.bridge && { ...attachment.bridge, addresses: [] } }
}

const noAdvertisement = 'should net/ipv6/conf'
const pod6 = [
  'pod must net/ipv6/conf/eth0/disable_ipv6=0',
  'pod should net/ipv6/conf/eth0/accept_dad=0',
  'pod should net/ipv6/conf/eth0/keep_addr_on_down=1',
]
const bridged6 = [...pod6, 'pod should net/ipv6/conf/eth0/ndisc_notify=1']
const announce = 'pod should net/ipv4/conf/eth0/arp_notify=1'
const podDeaf = `pod ${noAdvertisement}/eth0/accept_ra=0`
const linkDeaf = `host ${noAdvertisement}/tul0123456789a/accept_ra=0`
const bridgeDeaf = `host ${noAdvertisement}/cni0/accept_ra=0`
// its link-local address, which it asks for neighbours from, is there at once
const bridgeAtOnce = `host ${noAdvertisement}/cni0/accept_dad=0`
const forward4 = 'host must net/ipv4/ip_forward=1'
const forward6 = 'host must net/ipv6/conf/all/forwarding=1'

for (const { why, attachment, pod, host, forwarding } of [
  {
    why: 'routed IPv4: nothing to announce, for the host knows the pod for good',
    attachment: attachmentOf('routed', 'v4'),
    pod: [podDeaf],
    host: [linkDeaf],
    forwarding: [forward4],
  },
  {
    why: 'routed IPv6, on a node that may have it disabled by default',
    attachment: attachmentOf('routed', 'v6'),
    pod: [podDeaf, ...pod6],
    host: [linkDeaf, 'host must net/ipv6/conf/tul0123456789a/disable_ipv6=0'],
    forwarding: [forward6],
  },
  {
    why: 'routed, both',
    attachment: attachmentOf('routed', 'dual'),
    pod: [podDeaf, ...pod6],
    host: [linkDeaf, 'host must net/ipv6/conf/tul0123456789a/disable_ipv6=0'],
    forwarding: [forward4, forward6],
  },
  {
    why: 'a bridge that is the gateway',
    attachment: attachmentOf('bridge', 'dual'),
    pod: [announce, podDeaf, ...bridged6],
    host: [linkDeaf, bridgeDeaf, bridgeAtOnce, 'host must net/ipv6/conf/cni0/disable_ipv6=0'],
    forwarding: [forward4, forward6],
  },
  {
    why: 'a bridge without an address: the node forwards nothing',
    attachment: l2('dual'),
    pod: [announce, podDeaf, ...bridged6],
    host: [linkDeaf, bridgeDeaf, bridgeAtOnce],
    forwarding: [],
  },
  {
    why: 'an IPv4 bridge',
    attachment: l2('v4'),
    pod: [announce, podDeaf],
    host: [linkDeaf, bridgeDeaf, bridgeAtOnce],
    forwarding: [],
  },
  {
    why: 'policies on a bridge: what it forwards is shown to the hooks',
    attachment: { ...l2('dual'), isPoliced: true },
    pod: [announce, podDeaf, ...bridged6],
    host: [linkDeaf, bridgeDeaf, bridgeAtOnce],
    forwarding: [
      'host must net/bridge/bridge-nf-call-iptables=1',
      'host must net/bridge/bridge-nf-call-ip6tables=1',
    ],
  },
  {
    why: 'policies of a routed pod need no more than it does',
    attachment: { ...attachmentOf('routed', 'v4'), isPoliced: true },
    pod: [podDeaf],
    host: [linkDeaf],
    forwarding: [forward4],
  },
]) {
  test(`sysctls: ${why}`, async (t) => {
    t.strictSame(lines(podSysctls(attachment, 'on')), pod)
    t.strictSame(lines(hostSysctls(attachment, 'on')), host)
    t.strictSame(lines(forwardingSysctls(attachment)), forwarding)
  })
}

test('a kernel without IPv6 has no such files to write', async (t) => {
  const attachment = attachmentOf('bridge', 'v4')
  t.strictSame(lines(podSysctls(attachment, 'off')), [announce])
  t.strictSame(lines(hostSysctls(attachment, 'off')), [])
})
