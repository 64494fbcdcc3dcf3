import { test } from 'tap'
import { formatAddress } from '../../src/base/address.ts'
import { formatMac } from '../../src/base/mac.ts'
import { formatPrefix } from '../../src/base/prefix.ts'
import type { AttachedRoute, Attachment } from '../../src/datapath/attachment.ts'
import {
  addressOf,
  macOf,
  prefixOf,
  type Side,
  type WiredRoute,
  wiringOf,
} from '../../src/datapath/wiring.ts'
import { attachmentOf, families, modes } from './attachments.ts'
import { matchesGolden } from './golden.ts'

/** In the words of `ip route`. */
function routeText(route: WiredRoute): string {
  const { gateway, scope, table, priority, mtuBytes, advmssBytes } = route
  const words = [
    gateway && `via ${formatAddress(gateway)}`,
    route.onlink && 'onlink',
    scope !== undefined && `scope ${scope}`,
    table !== undefined && `table ${table}`,
    priority !== undefined && `metric ${priority}`,
    mtuBytes !== undefined && `mtu ${mtuBytes}`,
    advmssBytes !== undefined && `advmss ${advmssBytes}`,
  ]
  return ['route', formatPrefix(route.destination), ...words.filter(Boolean)].join(' ')
}

const sideLines = (name: string, { addresses, routes, neighbours }: Side): readonly string[] => [
  name,
  ...addresses.map((prefix) => `  address ${formatPrefix(prefix)}`),
  ...neighbours.map(
    ({ address, mac }) => `  neighbour ${formatAddress(address)} ${formatMac(mac)}`,
  ),
  ...routes.map((route) => `  ${routeText(route)}`),
]

function lines(attachment: Attachment): readonly string[] {
  const { pod, host } = wiringOf(attachment)
  return [...sideLines('pod', pod), ...sideLines('host', host)]
}

for (const mode of modes)
  for (const wanted of families)
    test(`the wiring of ${mode} ${wanted}`, async (t) =>
      matchesGolden(t, `wiring-${mode}-${wanted}`, lines(attachmentOf(mode, wanted))))

const routesOf = (attachment: Attachment): readonly string[] =>
  wiringOf(attachment).pod.routes.map(routeText)
const withRoutes = (mode: Attachment['mode'], routes: readonly AttachedRoute[]) =>
  routesOf(attachmentOf(mode, 'v4', { routes }))

const own = 'route 10.1.0.0/24 via 10.1.0.1 onlink'
const hop = 'route 10.1.0.1/32 scope 253'

for (const { why, got, want } of [
  {
    why: 'a route without a gateway goes by the pod’s',
    got: withRoutes('bridge', [{ dst: '10.9.0.0/16', gw: null }]),
    want: ['route 10.9.0.0/16 via 10.1.0.1'],
  },
  {
    why: 'a route with one of its own needs a way to that in a routed pod',
    got: withRoutes('routed', [{ dst: '10.9.0.0/16', gw: '10.1.0.9' }]),
    want: [hop, 'route 10.1.0.9/32 scope 253', 'route 10.9.0.0/16 via 10.1.0.9 onlink', own],
  },
  {
    why: 'two routes by one gateway need one way to it',
    got: withRoutes('routed', [
      { dst: '0.0.0.0/0', gw: null },
      { dst: '10.9.0.0/16', gw: '10.1.0.1' },
    ]),
    want: [
      hop,
      'route 0.0.0.0/0 via 10.1.0.1 onlink',
      'route 10.9.0.0/16 via 10.1.0.1 onlink',
      own,
    ],
  },
  {
    why: 'the subnet’s route is made once, as the operator wants it',
    got: withRoutes('routed', [{ dst: '10.1.0.0/24', gw: '10.1.0.9' }]),
    want: [hop, 'route 10.1.0.9/32 scope 253', 'route 10.1.0.0/24 via 10.1.0.9 onlink'],
  },
  {
    why: 'host bits of a destination are cleared, or the kernel would refuse',
    got: withRoutes('bridge', [{ dst: '10.9.1.2/16', gw: null }]),
    want: ['route 10.9.0.0/16 via 10.1.0.1'],
  },
  {
    why: 'everything that CNI 1.1.0 lets a route say',
    got: withRoutes('bridge', [
      { dst: '10.9.0.0/16', gw: null, mtu: 1400, advmss: 1360, priority: 5, table: 100, scope: 0 },
    ]),
    want: ['route 10.9.0.0/16 via 10.1.0.1 scope 0 table 100 metric 5 mtu 1400 advmss 1360'],
  },
  {
    why: 'scope link without a gateway goes straight out of the link',
    got: withRoutes('routed', [{ dst: '169.254.0.0/16', gw: null, scope: 253 }]),
    want: [hop, 'route 169.254.0.0/16 scope 253', own],
  },
  {
    why: 'a family that the pod has no address of: straight out of the link',
    got: withRoutes('bridge', [{ dst: 'fd00::/8', gw: null }]),
    want: ['route fd00::/8'],
  },
  {
    why: 'a bridge that is nobody’s gateway: straight out of the link',
    got: routesOf(
      attachmentOf('bridge', 'v4', {
        ips: [{ address: '10.1.0.5', subnetBits: 24, gateway: null }],
        routes: [{ dst: '10.9.0.0/16', gw: null }],
      }),
    ),
    want: ['route 10.9.0.0/16'],
  },
  {
    why: 'one address is no subnet to have a route for',
    got: routesOf(
      attachmentOf('routed', 'v4', {
        routes: [],
        ips: [{ address: '10.1.0.5', subnetBits: 32, gateway: '10.1.0.1' }],
      }),
    ),
    want: [hop],
  },
]) {
  test(`routes: ${why}`, async (t) => t.strictSame(got, want))
}

test('no gateway is given: link-local ones, which clash with no network', async (t) => {
  const ips = [
    { address: '10.1.0.4', subnetBits: 31, gateway: null },
    { address: 'fd00::4', subnetBits: 127, gateway: null },
  ]
  t.strictSame(lines(attachmentOf('routed', 'dual', { ips })), [
    'pod',
    '  address 10.1.0.4/32',
    '  address fd00::4/128',
    '  neighbour 169.254.1.1 0a:58:0a:01:00:01',
    '  neighbour fe80::1 0a:58:0a:01:00:01',
    '  route 169.254.1.1/32 scope 253',
    '  route fe80::1/128 scope 253',
    '  route 0.0.0.0/0 via 169.254.1.1 onlink',
    '  route ::/0 via fe80::1 onlink',
    '  route 10.1.0.4/31 via 169.254.1.1 onlink',
    '  route fd00::4/127 via fe80::1 onlink',
    'host',
    '  neighbour 10.1.0.4 0a:58:0a:01:00:05',
    '  neighbour fd00::4 0a:58:0a:01:00:05',
    '  route 10.1.0.4/32 scope 253',
    '  route fd00::4/128 scope 253',
  ])
})

test('two addresses of one subnet share a gateway on both sides', async (t) => {
  const one = { address: '10.1.0.5', subnetBits: 24, gateway: '10.1.0.1' }
  const attachment = attachmentOf('routed', 'v4', { ips: [one, { ...one, address: '10.1.0.6' }] })
  const { pod, host } = wiringOf(attachment)
  t.strictSame(host.addresses.map(formatPrefix), ['10.1.0.1/32'])
  t.strictSame(
    pod.neighbours.map(({ address }) => formatAddress(address)),
    ['10.1.0.1'],
  )
  const told = pod.routes.map(routeText)
  t.equal(new Set(told).size, told.length, `each route once: ${told.join(', ')}`)
})

test('a record that was tampered with is an error with its text, not a wrong packet', async (t) => {
  t.throws(() => addressOf('10.1.0'), /address "10\.1\.0"/)
  t.throws(() => prefixOf('10.1.0.0'), /prefix "10\.1\.0\.0"/)
  t.throws(() => macOf('01:00:00:00:00:00'), /MAC "01:00/)
})
