import fc from 'fast-check'
import { test } from 'tap'
import type { ClusterNode, RouteMode } from '../../src/cluster/node.ts'
import { type Changes, changesBetween, keyOf, sameEntry } from '../../src/overlay/difference.ts'
import type { FabricEntry, Self } from '../../src/overlay/fabric.ts'
import type { OverlayOptions } from '../../src/overlay/options.ts'
import { weavePeer } from '../../src/overlay/peer.ts'
import { onlyKeys, Weave } from '../../src/overlay/weave.ts'
import { holds } from '../base/law.ts'
import { anyNode, anyOptions, anySelf, lineOf, node, options, selfWith } from './values.ts'

type Entries = ReadonlyMap<string, FabricEntry>

/** A kernel that refuses what it must: adding what is there, replacing or deleting what is not. */
function applied(entries: Entries, changes: Changes): Entries {
  const after = new Map(entries)
  for (const { kind, entry } of changes) {
    const key = keyOf(entry)
    if (after.has(key) === (kind === 'add')) throw new Error(`Cannot ${kind} ${lineOf(entry)}`)
    if (kind === 'delete') after.delete(key)
    else after.set(key, entry)
  }
  return after
}

const sorted = (entries: Entries): readonly string[] => [...entries.values()].map(lineOf).sort()
const sameEntries = (left: Entries, right: Entries): boolean =>
  sorted(left).join() === sorted(right).join()

function woven(self: Self, nodes: readonly ClusterNode[], asked: OverlayOptions): Weave {
  const weave = new Weave()
  for (const one of nodes) weave.put(weavePeer(self, one, asked))
  return weave
}

const someNodes = fc.uniqueArray(anyNode, { selector: ({ name }) => name, maxLength: 5 })

test('applying the difference makes it as wanted, and then there is none', async (t) => {
  const law = fc.property(
    anySelf,
    someNodes,
    someNodes,
    anyOptions,
    anyOptions,
    (self, before, after, asked, askedNow) => {
      const observed = woven(self, before, asked).wanted
      const { wanted } = woven(self, after, askedNow)
      const result = applied(observed, changesBetween(wanted, observed))
      return sameEntries(result, wanted) && changesBetween(wanted, result).length === 0
    },
  )
  holds(t, law)
})

/** Whether each route of these has what it leads to. */
const isWhole = (entries: Entries): boolean =>
  [...entries.values()].every((one) => {
    if (one.kind !== 'route' || !one.onlink) return true
    const { link, gateway: address } = one
    const neighbour = entries.get(keyOf({ kind: 'neighbour', link, address, mac: '' }))
    return (
      neighbour?.kind === 'neighbour' &&
      entries.has(keyOf({ kind: 'fdb', link, mac: neighbour.mac, destination: address }))
    )
  })

test('at every moment every route leads somewhere, and none that stays is missing', async (t) => {
  const distinct = fc.uniqueArray(anyNode, {
    selector: ({ name }) => name,
    maxLength: 5,
  })
  const law = fc.property(
    anySelf,
    distinct,
    distinct,
    anyOptions,
    anyOptions,
    (self, before, after, asked, askedNow) => {
      let entries: Entries = woven(self, before, asked).wanted
      const { wanted } = woven(self, after, askedNow)
      if (!isWhole(entries) || !isWhole(wanted)) return true
      const staying = [...entries.keys()].filter(
        (key) => key.startsWith('route ') && wanted.has(key),
      )
      return changesBetween(wanted, entries).every((change) => {
        entries = applied(entries, [change])
        return isWhole(entries) && staying.every((key) => entries.has(key))
      })
    },
  )
  holds(t, law)
})

test('nodes may come in any order, and more than once', async (t) => {
  const law = fc.property(
    anySelf,
    anyOptions,
    fc.array(anyNode, { maxLength: 12 }),
    fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { maxLength: 4 }),
    fc.infiniteStream(fc.nat()),
    (self, asked, history, gone, random) => {
      const weave = woven(self, history, asked)
      for (const name of gone) weave.drop(name)
      const last = new Map(history.map((one) => [one.name, one]))
      const left = [...last.values()].filter(({ name }) => !gone.some((one) => one === name))
      const shuffled = left
        .map((one) => ({ one, at: random.next().value as number }))
        .sort((one, other) => one.at - other.at)
        .map(({ one }) => one)
      return sameEntries(weave.wanted, woven(self, shuffled, asked).wanted)
    },
  )
  holds(t, law)
})

test('put and drop tell every key that changed', async (t) => {
  const law = fc.property(
    anySelf,
    anyOptions,
    fc.array(fc.tuple(anyNode, fc.boolean()), { maxLength: 12 }),
    (self, asked, history) => {
      const weave = new Weave()
      let committed: Entries = new Map()
      for (const [one, isGone] of history) {
        const touched = isGone ? weave.drop(one.name) : weave.put(weavePeer(self, one, asked))
        const wanted = onlyKeys(weave.wanted, touched)
        committed = applied(committed, changesBetween(wanted, onlyKeys(committed, touched)))
      }
      return sameEntries(committed, weave.wanted)
    },
  )
  holds(t, law)
})

test('two nodes that know each other send both ways by the same way', async (t) => {
  const law = fc.property(
    fc.constantFrom('10.0.0.2', '10.9.0.2', '10.0.0.2 fd00::2', '10.9.0.2 fd00::2', 'fd09::2'),
    fc.constantFrom<RouteMode | 'none'>('auto', 'vxlan', 'direct', 'none'),
    anyOptions,
    (addresses, mode, asked) => {
      const peer = node('b', addresses, '10.1.2.0/24 fd01:2::/64', mode === 'none' ? {} : { mode })
      const self = selfWith('46')
      const other: Self = {
        name: 'b',
        podCIDRs: peer.podCIDRs,
        ...(peer.mode ? { mode: peer.mode } : {}),
        underlay: Object.fromEntries(
          peer.addresses.map((address) => [
            address.family,
            {
              address,
              link: 'eth0',
              mtuBytes: 1500,
              onLink: [{ address, bits: address.family === 4 ? 24 : 64 }],
            },
          ]),
        ),
      }
      const here = node('a', '10.0.0.1 fd00::1', '10.1.1.0/24 fd01:1::/64')
      const waysOf = (one: Self, to: ClusterNode): readonly string[] =>
        weavePeer(one, to, asked).ways.map(
          ({ podCIDR, mode: way, over }) => `${podCIDR.address.family} ${way} ${over}`,
        )
      return waysOf(self, peer).join() === waysOf(other, here).join()
    },
  )
  holds(t, law)
})

const tunnelled = (mac: string, address: string): ClusterNode =>
  node('b', '10.9.0.2', '10.1.2.0/24', {
    flannel: [{ family: 4, address: node('', address, '').addresses[0] ?? never(), mac, vni: 1 }],
  })
const never = (): never => {
  throw new Error('no address')
}

for (const { why, before, after, want } of [
  {
    why: 'from direct to a tunnel: what the route leads to comes first',
    before: [node('b', '10.0.0.2', '10.1.2.0/24')],
    after: [node('b', '10.9.0.2', '10.1.2.0/24')],
    want: [
      'add fdb 02:74:0a:09:00:02 dst 10.9.0.2 dev tulle.1',
      'add neighbour 10.1.2.0 lladdr 02:74:0a:09:00:02 dev tulle.1',
      'replace route 10.1.2.0/24 via 10.1.2.0 dev tulle.1 onlink src 10.1.1.0',
    ],
  },
  {
    why: 'and back: what it led to goes last',
    before: [node('b', '10.9.0.2', '10.1.2.0/24')],
    after: [node('b', '10.0.0.2', '10.1.2.0/24')],
    want: [
      'replace route 10.1.2.0/24 via 10.0.0.2 dev eth0 src 10.0.0.1',
      'delete neighbour 10.1.2.0 lladdr 02:74:0a:09:00:02 dev tulle.1',
      'delete fdb 02:74:0a:09:00:02 dst 10.9.0.2 dev tulle.1',
    ],
  },
  {
    why: "a Flannel node's new MAC: the old forwarding entry goes too",
    before: [tunnelled('0e:00:00:00:00:07', '10.9.0.2')],
    after: [tunnelled('0e:00:00:00:00:08', '10.9.0.2')],
    want: [
      'add fdb 0e:00:00:00:00:08 dst 10.9.0.2 dev tulle.1',
      'replace neighbour 10.1.2.0 lladdr 0e:00:00:00:00:08 dev tulle.1',
      'delete fdb 0e:00:00:00:00:07 dst 10.9.0.2 dev tulle.1',
    ],
  },
  {
    why: 'a new public address behind the same MAC',
    before: [tunnelled('0e:00:00:00:00:07', '10.9.0.2')],
    after: [tunnelled('0e:00:00:00:00:07', '10.9.0.3')],
    want: ['replace fdb 0e:00:00:00:00:07 dst 10.9.0.3 dev tulle.1'],
  },
  {
    why: 'only the podCIDR changes',
    before: [node('b', '10.0.0.2', '10.1.2.0/24')],
    after: [node('b', '10.0.0.2', '10.1.3.0/24')],
    want: [
      'add route 10.1.3.0/24 via 10.0.0.2 dev eth0 src 10.0.0.1',
      'delete route 10.1.2.0/24 via 10.0.0.2 dev eth0 src 10.0.0.1',
    ],
  },
  {
    why: 'only the IPv4 address changes of a node with both',
    before: [node('b', '10.0.0.2 fd00::2', '10.1.2.0/24 fd01:2::/64')],
    after: [node('b', '10.0.0.3 fd00::2', '10.1.2.0/24 fd01:2::/64')],
    want: ['replace route 10.1.2.0/24 via 10.0.0.3 dev eth0 src 10.0.0.1'],
  },
  {
    why: 'a podCIDR goes from one node to another',
    before: [node('b', '10.0.0.2', '10.1.2.0/24'), node('c', '10.0.0.3', '')],
    after: [node('b', '10.0.0.2', ''), node('c', '10.0.0.3', '10.1.2.0/24')],
    want: ['replace route 10.1.2.0/24 via 10.0.0.3 dev eth0 src 10.0.0.1'],
  },
  {
    why: 'two nodes claim one network: the first by name has it, whoever came first',
    before: [],
    after: [node('c', '10.0.0.3', '10.1.2.0/24'), node('b', '10.0.0.2', '10.1.2.0/24')],
    want: ['add route 10.1.2.0/24 via 10.0.0.2 dev eth0 src 10.0.0.1'],
  },
])
  test(`changesBetween, ${why}`, async (t) => {
    const self = selfWith('46')
    const observed = woven(self, before, options).wanted
    const { wanted } = woven(self, after, options)
    const changes = changesBetween(wanted, observed)
    t.strictSame(
      changes.map(({ kind, entry }) => `${kind} ${lineOf(entry)}`),
      want,
    )
  })

test('sameEntry: every field counts', async (t) => {
  const [fdb, neighbour, route] = weavePeer(
    selfWith('4'),
    node('b', '10.9.0.2', '10.1.2.0/24'),
    options,
  ).entries
  if (fdb?.kind !== 'fdb' || neighbour?.kind !== 'neighbour' || route?.kind !== 'route')
    throw new Error('odd entries')
  const [other] = node('', '10.9.9.9', '').addresses
  if (!other) throw new Error('no address')
  const { source: _, ...unsourced } = route
  const others: readonly (readonly [FabricEntry, FabricEntry])[] = [
    [fdb, { ...fdb, mac: '02:00:00:00:00:00' }],
    [fdb, { ...fdb, destination: other }],
    [fdb, { ...fdb, link: 'x' }],
    [fdb, neighbour],
    [neighbour, { ...neighbour, mac: '02:00:00:00:00:00' }],
    [neighbour, { ...neighbour, address: other }],
    [neighbour, fdb],
    [route, { ...route, gateway: other }],
    [route, { ...route, source: other }],
    [route, unsourced],
    [unsourced, route],
    [route, { ...route, onlink: false }],
    [route, { ...route, destination: { ...route.destination, bits: 25 } }],
    [route, { ...fdb, link: route.link }],
  ]
  for (const [one, another] of others) {
    t.notOk(sameEntry(one, another), `${lineOf(one)} is not ${lineOf(another)}`)
    t.ok(sameEntry(one, { ...one }))
  }
})

test('5,000 nodes: one change asks for that node alone', async (t) => {
  const self = selfWith('46')
  const many = Array.from({ length: 5000 }, (_, at) =>
    node(
      `n${at}`,
      `10.9.${at >> 8}.${at & 255}`,
      `10.${64 + (at >> 8)}.${at & 255}.0/24 fd02:${at.toString(16)}::/64`,
    ),
  )
  const weave = woven(self, many, options)
  t.equal(weave.wanted.size, 5000 * 5)
  const touched = weave.put(
    weavePeer(self, node('n77', '10.9.0.77', '10.64.77.0/24 fd02:ffff::/64'), options),
  )
  t.equal(touched.size, 6)
  t.equal(weave.drop('n78').size, 5)
})
