import { test } from 'tap'
import { type Claimed, differences, type Observed } from '../../src/datapath/difference.ts'
import { IFF_PROMISC } from '../../src/wire/rtnl/link.ts'
import { attachmentOf } from './attachments.ts'
import { claimed, neighbour, prefix, route, untouched } from './observations.ts'
import { bridgeWith, changedRoute, linkOn, onSide, other } from './tampering.ts'

const podEnd = "pod's eth0"
const otherMac = neighbour(`10.1.0.1 ${other}`).mac
const routed = attachmentOf('routed', 'dual')
const movedAway = onSide(
  'routed',
  'pod',
  changedRoute('0.0.0.0/0', route('0.0.0.0/0 via 10.9.0.1')),
)
const foreign = onSide('routed', 'pod', (side) => ({
  addresses: [...side.addresses, prefix('10.200.0.1/24')],
  routes: [...side.routes, route('10.200.0.0/24')],
  neighbours: [...side.neighbours, neighbour(`10.200.0.9 ${other}`, 'stale')],
}))
const smaller = { mtuBytes: 1400 }
const bothSmaller: Observed = {
  ...linkOn('routed', 'pod', smaller),
  host: linkOn('routed', 'host', smaller).host,
}

// The specification on CHECK: a plugin must tolerate what later plugins of the chain changed.
const tolerated: readonly Readonly<{ why: string; claim: Partial<Claimed>; observed: Observed }>[] =
  [
    { why: 'more than ADD made', claim: {}, observed: foreign },
    {
      why: 'a MAC that a later plugin set, by its own word',
      claim: { mac: other.toUpperCase() },
      observed: linkOn('routed', 'pod', { mac: otherMac }),
    },
    {
      why: 'an MTU that a later plugin set, by its own word',
      claim: { mtuBytes: 1400 },
      observed: linkOn('routed', 'pod', { mtuBytes: 1400 }),
    },
    {
      why: 'an MTU that a later plugin gave both ends, in a result that has no room for it',
      claim: { mtuBytes: undefined },
      observed: bothSmaller,
    },
    {
      why: 'a route that a later plugin took out of the result',
      claim: { destinations: ['::/0'] },
      observed: movedAway,
    },
    {
      why: 'a result without addresses, of a runtime that keeps half of it',
      claim: { addresses: [] },
      observed: untouched.routed,
    },
    {
      why: 'a result that tells of no MAC and no MTU, as before 1.1.0',
      claim: { mac: undefined, mtuBytes: undefined },
      observed: linkOn('routed', 'pod', { mac: otherMac, mtuBytes: 1400 }),
    },
  ]

for (const { why, claim, observed } of tolerated)
  test(`tolerated: ${why}`, async (t) =>
    t.strictSame(differences(routed, { ...claimed, ...claim }, observed), []))

test('prevResult speaks of an address that the pod has not', async (t) => {
  const addresses = [...claimed.addresses, '10.1.0.6/32']
  t.strictSame(differences(routed, { ...claimed, addresses }, untouched.routed), [
    `${podEnd} lacks address 10.1.0.6/32 of prevResult`,
  ])
})

test('prevResult does not speak of an address that is leased', async (t) => {
  const addresses = ['10.1.0.5/32']
  t.strictSame(differences(routed, { ...claimed, addresses }, untouched.routed), [
    'prevResult lacks fd00:1::5, which is leased to this pod',
  ])
})

test('a bridge that should be promiscuous', async (t) => {
  const { bridge, ...rest } = attachmentOf('bridge', 'dual')
  const attachment = { ...rest, bridge: bridge && { ...bridge, promisc: true } }
  t.strictSame(differences(attachment, claimed, untouched.bridge), [
    'bridge cni0 is not promiscuous',
  ])
  t.strictSame(differences(attachment, claimed, bridgeWith({ flags: 1 | IFF_PROMISC })), [])
})
