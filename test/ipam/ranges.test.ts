import { test } from 'tap'
import { formatAddress, parseAddress } from '../../src/base/address.ts'
import {
  isGateway,
  isInRange,
  listedAt,
  parseRanges,
  poolName,
  type Range,
  type RangeText,
} from '../../src/ipam/ranges.ts'

const read = (...sets: readonly (readonly RangeText[])[]) =>
  parseRanges(sets, listedAt('ipam.ranges'))

function rangeOf(text: RangeText): Range {
  const parsed = read([text])
  const range = 'sets' in parsed ? parsed.sets[0]?.[0] : undefined
  if (range === undefined) throw new Error(`Cannot read ${JSON.stringify(parsed)}`)
  return range
}

// The first four are host-local's documented defaults; the rest is what it refuses as too small.
for (const { why, text, want } of [
  {
    why: 'the gateway is the first address, the broadcast address the end',
    text: { subnet: '10.1.0.0/24' },
    want: '10.1.0.1-10.1.0.254 gateway 10.1.0.1',
  },
  {
    why: 'IPv6 has no broadcast address',
    text: { subnet: 'fd00:1::/64' },
    want: 'fd00:1::1-fd00:1::ffff:ffff:ffff:ffff gateway fd00:1::1',
  },
  {
    why: 'the smallest subnet with a gateway and a pod',
    text: { subnet: '10.1.0.4/30' },
    want: '10.1.0.5-10.1.0.6 gateway 10.1.0.5',
  },
  {
    why: 'the same for IPv6: three pods',
    text: { subnet: 'fd00::4/126' },
    want: 'fd00::5-fd00::7 gateway fd00::5',
  },
  {
    why: 'RFC 3021: both addresses are hosts',
    text: { subnet: '10.1.0.4/31' },
    want: '10.1.0.4-10.1.0.5 gateway none',
  },
  {
    why: 'one address',
    text: { subnet: '10.1.0.4/32' },
    want: '10.1.0.4-10.1.0.4 gateway none',
  },
  {
    why: 'RFC 6164',
    text: { subnet: 'fd00::4/127' },
    want: 'fd00::4-fd00::5 gateway none',
  },
  { why: 'one of IPv6', text: { subnet: 'fd00::4/128' }, want: 'fd00::4-fd00::4 gateway none' },
  {
    why: 'a gateway that is given makes a /31 half as large, not smaller',
    text: { subnet: '10.1.0.4/31', gateway: '10.1.0.4' },
    want: '10.1.0.4-10.1.0.5 gateway 10.1.0.4',
  },
  {
    why: 'start and end as given; the network and the broadcast address may be asked for',
    text: { subnet: '10.1.0.0/24', rangeStart: '10.1.0.0', rangeEnd: '10.1.0.255' },
    want: '10.1.0.0-10.1.0.255 gateway 10.1.0.1',
  },
  {
    why: 'one address of a large subnet',
    text: { subnet: '10.0.0.0/8', rangeStart: '10.9.9.9', rangeEnd: '10.9.9.9' },
    want: '10.9.9.9-10.9.9.9 gateway 10.0.0.1',
  },
  {
    why: 'a gateway outside the subnet is the operator’s business, as with host-local',
    text: { subnet: '10.1.0.0/24', gateway: '10.2.0.1' },
    want: '10.1.0.1-10.1.0.254 gateway 10.2.0.1',
  },
  {
    why: 'an empty text is an absent one, as Go reads it',
    text: { subnet: '10.1.0.0/24', rangeStart: '', rangeEnd: '', gateway: '' },
    want: '10.1.0.1-10.1.0.254 gateway 10.1.0.1',
  },
  {
    why: 'IPv6 is written in one way',
    text: { subnet: 'FD00:0:0:1::/64', rangeStart: 'fd00::1:0:0:0:00ff' },
    want: 'fd00:0:0:1::ff-fd00::1:ffff:ffff:ffff:ffff gateway fd00:0:0:1::1',
  },
  {
    why: 'all of IPv4',
    text: { subnet: '0.0.0.0/0' },
    want: '0.0.0.1-255.255.255.254 gateway 0.0.0.1',
  },
]) {
  test(`${text.subnet}: ${why}`, async (t) => {
    const range = rangeOf(text)
    const gateway = range.gateway ? formatAddress(range.gateway) : 'none'
    t.equal(`${poolName(range)} gateway ${gateway}`, want)
  })
}

const subnet = '10.1.0.0/24'

for (const { why, sets, path, found, accepted } of [
  {
    why: 'host bits, which may be a slip of the pen',
    sets: [[{ subnet: '10.1.0.5/24' }]],
    path: '[0][0].subnet',
    found: '10.1.0.5/24',
    accepted: "the network's own address, 10.1.0.0/24",
  },
  {
    why: 'no network',
    sets: [[{ subnet: '10.1.0.0' }]],
    path: '[0][0].subnet',
    found: '10.1.0.0',
    accepted: 'a network such as 10.244.1.0/24 or fd00:1::/64',
  },
  {
    why: 'a prefix that is too long',
    sets: [[{ subnet: 'fd00::/129' }]],
    path: '[0][0].subnet',
    found: 'fd00::/129',
    accepted: 'a network such as 10.244.1.0/24 or fd00:1::/64',
  },
  {
    why: 'a start outside',
    sets: [[{ subnet, rangeStart: '10.1.1.9' }]],
    path: '[0][0].rangeStart',
    found: '10.1.1.9',
    accepted: 'an address in 10.1.0.0/24',
  },
  {
    why: 'a start that is no address',
    sets: [[{ subnet, rangeStart: '10.1.0.300' }]],
    path: '[0][0].rangeStart',
    found: '10.1.0.300',
    accepted: 'an address in 10.1.0.0/24',
  },
  {
    why: 'an end of the other family',
    sets: [[{ subnet, rangeEnd: 'fd00::9' }]],
    path: '[0][0].rangeEnd',
    found: 'fd00::9',
    accepted: 'an address in 10.1.0.0/24',
  },
  {
    why: 'a start behind the end',
    sets: [[{ subnet, rangeStart: '10.1.0.9', rangeEnd: '10.1.0.8' }]],
    path: '[0][0].rangeStart',
    found: '10.1.0.9',
    accepted: 'an address up to rangeEnd, 10.1.0.8',
  },
  {
    why: 'a gateway that is no address',
    sets: [[{ subnet, gateway: 'router' }]],
    path: '[0][0].gateway',
    found: 'router',
    accepted: 'an IPv4 address',
  },
  {
    why: 'a gateway of the other family',
    sets: [[{ subnet: 'fd00::/64', gateway: '10.1.0.1' }]],
    path: '[0][0].gateway',
    found: '10.1.0.1',
    accepted: 'an IPv6 address',
  },
  {
    why: 'two families in a set, of which a pod gets one address',
    sets: [[{ subnet }, { subnet: 'fd00::/64' }]],
    path: '[0][1].subnet',
    found: 'fd00::/64',
    accepted: 'ranges of one family in one set',
  },
  {
    why: 'the same twice in a set',
    sets: [[{ subnet }, { subnet }]],
    path: '[0][1].subnet',
    found: '10.1.0.0/24',
    accepted: 'a range apart from 10.1.0.0/24, which comes before it',
  },
  {
    why: 'one within another, in different sets',
    sets: [[{ subnet: '10.1.0.0/16' }], [{ subnet }]],
    path: '[1][0].subnet',
    found: '10.1.0.0/24',
    accepted: 'a range apart from 10.1.0.0/16, which comes before it',
  },
  {
    why: 'ranges of one subnet that share their last and first address',
    sets: [[{ subnet, rangeEnd: '10.1.0.99' }], [{ subnet, rangeStart: '10.1.0.99' }]],
    path: '[1][0].subnet',
    found: '10.1.0.0/24',
    accepted: 'a range apart from 10.1.0.0/24, which comes before it',
  },
  {
    why: 'the same, the other way round',
    sets: [[{ subnet, rangeStart: '10.1.0.99' }], [{ subnet, rangeEnd: '10.1.0.99' }]],
    path: '[1][0].subnet',
    found: '10.1.0.0/24',
    accepted: 'a range apart from 10.1.0.0/24, which comes before it',
  },
  {
    why: 'a fault is looked for in every set',
    sets: [[{ subnet }], [{ subnet: 'fd00::/64' }, { subnet: 'x' }]],
    path: '[1][1].subnet',
    found: 'x',
    accepted: 'a network such as 10.244.1.0/24 or fd00:1::/64',
  },
]) {
  test(`refused: ${why}`, async (t) =>
    t.strictSame(read(...sets), { fault: { path: `ipam.ranges${path}`, found, accepted } }))
}

test('ranges of one subnet that do not meet are as good as two subnets', async (t) => {
  const parsed = read(
    [
      { subnet, rangeEnd: '10.1.0.99' },
      { subnet, rangeStart: '10.1.0.200' },
    ],
    [{ subnet, rangeStart: '10.1.0.100', rangeEnd: '10.1.0.199' }],
    [{ subnet: 'fd00::/64' }],
  )
  t.strictSame('sets' in parsed && parsed.sets.map((set) => set.map(poolName)), [
    ['10.1.0.1-10.1.0.99', '10.1.0.200-10.1.0.254'],
    ['10.1.0.100-10.1.0.199'],
    ['fd00::1-fd00::ffff:ffff:ffff:ffff'],
  ])
})

test('no set at all is for the caller to refuse', async (t) => t.strictSame(read(), { sets: [] }))

for (const { address, inRange, gateway } of [
  { address: '10.1.0.0', inRange: false, gateway: false },
  { address: '10.1.0.1', inRange: true, gateway: true },
  { address: '10.1.0.254', inRange: true, gateway: false },
  { address: '10.1.0.255', inRange: false, gateway: false },
  { address: '::a01:1', inRange: false, gateway: false },
]) {
  test(`${address} and ${subnet}`, async (t) => {
    const range = rangeOf({ subnet })
    const parsed = parseAddress(address)
    t.equal(parsed && isInRange(range, parsed), inRange)
    t.equal(parsed && isGateway(range, parsed), gateway)
  })
}
