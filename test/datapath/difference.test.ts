import { test } from 'tap'
import { differences, type Observed } from '../../src/datapath/difference.ts'
import type { IfIndex } from '../../src/wire/rtnl/link.ts'
import { attachmentOf } from './attachments.ts'
import { claimed, neighbour, prefix, route, untouched } from './observations.ts'
import {
  bridgeWith,
  changedNeighbour,
  changedRoute,
  linkOn,
  onSide,
  other,
  without,
} from './tampering.ts'

type Row = Readonly<{ why: string; observed: Observed; want: readonly string[] }>
const hostEnd = 'host end tul0123456789a'
const podEnd = "pod's eth0"
const otherMac = neighbour(`10.1.0.1 ${other}`).mac

const routedRows: readonly Row[] = [
  {
    why: 'the host end is deleted',
    observed: { ...untouched.routed, host: undefined },
    want: [`${hostEnd} is not there`],
  },
  {
    why: 'the host end is down',
    observed: linkOn('routed', 'host', { flags: 0 }),
    want: [`${hostEnd} is down`],
  },
  {
    why: 'the host end has another MAC, and the pod sends to the old one',
    observed: linkOn('routed', 'host', { mac: otherMac }),
    want: [`${hostEnd} has MAC ${other}, not 0a:58:0a:01:00:01`],
  },
  {
    why: 'the host end has another MTU',
    observed: linkOn('routed', 'host', { mtuBytes: 1400 }),
    want: [`${hostEnd} has MTU 1400, not 1500`],
  },
  {
    why: 'the gateway address is gone',
    observed: onSide('routed', 'host', without('addresses', 'fd00:1::1/128')),
    want: [`${hostEnd} lacks address fd00:1::1/128`],
  },
  {
    why: 'the host’s route to the pod is gone',
    observed: onSide('routed', 'host', without('routes', '10.1.0.5/32')),
    want: [`${hostEnd} lacks route 10.1.0.5/32`],
  },
  {
    why: 'the host’s neighbour is gone',
    observed: onSide('routed', 'host', without('neighbours', '10.1.0.5')),
    want: [`${hostEnd} lacks the permanent neighbour 10.1.0.5`],
  },
  {
    why: 'the host’s neighbour may be forgotten',
    observed: onSide(
      'routed',
      'host',
      changedNeighbour('10.1.0.5', neighbour('10.1.0.5 0a:58:0a:01:00:05', 'stale')),
    ),
    want: [`${hostEnd} lacks the permanent neighbour 10.1.0.5`],
  },
  {
    why: 'the host’s neighbour has another MAC',
    observed: onSide(
      'routed',
      'host',
      changedNeighbour('fd00:1::5', neighbour(`fd00:1::5 ${other}`)),
    ),
    want: [`${hostEnd} lacks the permanent neighbour fd00:1::5`],
  },
  {
    why: 'the pod’s end is deleted',
    observed: { ...untouched.routed, pod: undefined },
    want: [`${podEnd} is not there`],
  },
  {
    why: 'the pod’s end is down',
    observed: linkOn('routed', 'pod', { flags: 0 }),
    want: [`${podEnd} is down`],
  },
  {
    why: 'the pod’s address is gone',
    observed: onSide('routed', 'pod', without('addresses', '10.1.0.5/32')),
    want: [
      `${podEnd} lacks address 10.1.0.5/32`,
      `${podEnd} lacks address 10.1.0.5/32 of prevResult`,
    ],
  },
  {
    why: 'the pod’s address has another length, which makes it believe in a subnet',
    observed: onSide('routed', 'pod', (side) => ({
      addresses: [
        ...(without('addresses', '10.1.0.5/32')(side).addresses ?? []),
        prefix('10.1.0.5/24'),
      ],
    })),
    want: [`${podEnd} lacks address 10.1.0.5/32`],
  },
  {
    why: 'the way to the gateway is gone',
    observed: onSide('routed', 'pod', without('routes', '10.1.0.1/32')),
    want: [`${podEnd} lacks route 10.1.0.1/32`],
  },
  {
    why: 'the default route is gone',
    observed: onSide('routed', 'pod', without('routes', '0.0.0.0/0')),
    want: [`${podEnd} lacks route 0.0.0.0/0 via 10.1.0.1`],
  },
  {
    why: 'the default route goes another way',
    observed: onSide('routed', 'pod', changedRoute('0.0.0.0/0', route('0.0.0.0/0 via 10.1.0.9'))),
    want: [`${podEnd} lacks route 0.0.0.0/0 via 10.1.0.1`],
  },
  {
    why: 'the default route is in another table',
    observed: onSide(
      'routed',
      'pod',
      changedRoute('::/0', route('::/0 via fd00:1::1', { table: 100 })),
    ),
    want: [`${podEnd} lacks route ::/0 via fd00:1::1`],
  },
  {
    why: 'the subnet’s route is gone',
    observed: onSide('routed', 'pod', without('routes', 'fd00:1::/64')),
    want: [`${podEnd} lacks route fd00:1::/64 via fd00:1::1`],
  },
  {
    why: 'the pod’s neighbour is gone',
    observed: onSide('routed', 'pod', without('neighbours', '10.1.0.1')),
    want: [`${podEnd} lacks the permanent neighbour 10.1.0.1`],
  },
  {
    why: 'the pod has another MAC than prevResult says',
    observed: linkOn('routed', 'pod', { mac: otherMac }),
    want: [`${podEnd} has MAC ${other}, not 0a:58:0a:01:00:05`],
  },
  {
    why: 'the pod has another MTU than prevResult says',
    observed: linkOn('routed', 'pod', { mtuBytes: 1400 }),
    want: [`${podEnd} has MTU 1400, not 1500`],
  },
  {
    why: 'the node forwards no more',
    observed: { ...untouched.routed, sysctls: ['net.ipv4.ip_forward'] },
    want: ['sysctl net.ipv4.ip_forward is not 1'],
  },
]

const noPort = { hairpin: false, isolated: false, isForwarding: true }
const bridgeRows: readonly Row[] = [
  {
    why: 'the bridge is deleted',
    observed: { ...untouched.bridge, bridge: undefined },
    want: ['bridge cni0 is not there'],
  },
  { why: 'the bridge is down', observed: bridgeWith({ flags: 0 }), want: ['bridge cni0 is down'] },
  {
    why: 'the bridge’s address is gone',
    observed: {
      ...untouched.bridge,
      bridgeAddresses: untouched.bridge.bridgeAddresses.slice(1),
    },
    want: ['bridge cni0 lacks address 10.1.0.1/24'],
  },
  {
    why: 'the host end is unplugged',
    observed: linkOn('bridge', 'host', { master: undefined, port: undefined }),
    want: ['tul0123456789a is not a port of cni0'],
  },
  {
    why: 'the host end is plugged into another bridge',
    observed: linkOn('bridge', 'host', { master: 4 as IfIndex }),
    want: ['tul0123456789a is not a port of cni0'],
  },
  {
    why: 'the port sends back what came from it',
    observed: linkOn('bridge', 'host', { port: { ...noPort, hairpin: true } }),
    want: ['port tul0123456789a has hairpin true'],
  },
  {
    why: 'the port is isolated',
    observed: linkOn('bridge', 'host', { port: { ...noPort, isolated: true } }),
    want: ['port tul0123456789a has isolation true'],
  },
  {
    why: 'the pod’s address has lost its subnet',
    observed: onSide('bridge', 'pod', (side) => ({
      addresses: [
        ...(without('addresses', '10.1.0.5/24')(side).addresses ?? []),
        prefix('10.1.0.5/32'),
      ],
    })),
    want: [`${podEnd} lacks address 10.1.0.5/24`],
  },
]

for (const [mode, rows] of [
  ['routed', routedRows],
  ['bridge', bridgeRows],
] as const) {
  const attachment = attachmentOf(mode, 'dual')
  test(`${mode}: nothing was touched, nothing is found`, async (t) =>
    t.strictSame(differences(attachment, claimed, untouched[mode]), []))
  for (const { why, observed, want } of rows)
    test(`${mode}: ${why}`, async (t) =>
      t.strictSame(differences(attachment, claimed, observed), want))
}
