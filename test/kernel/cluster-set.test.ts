import fc from 'fast-check'
import { test } from 'tap'
import { formatAddress } from '../../src/base/address.ts'
import { mergePrefixes } from '../../src/base/merge-prefixes.ts'
import { contains, formatPrefix, type Prefix, parsePrefix } from '../../src/base/prefix.ts'
import { holdingOf, holdingOfCluster } from '../../src/datapath/holding.ts'
import { clusterDifference, setCluster } from '../../src/kernel/cluster-set.ts'
import { FilterSocket, type WhenLost } from '../../src/kernel/filter-socket.ts'
import { holds } from '../base/law.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { prefix } from '../wire/values.ts'
import { Lodger } from './node.ts'
import { neverLost, podNumber } from './pods.ts'

type Room = { readonly netns: Netns; readonly filter: FilterSocket }

async function withFilter(use: (room: Room) => void): Promise<void> {
  const netns = makeNetns('cluster')
  const lodger = new Lodger(netns)
  try {
    use({ netns, filter: new FilterSocket(lodger.native) })
  } finally {
    lodger.close()
    netns.close()
  }
}

/** nft's own reading of the sets; undefined where there is no table. */
function listed({ netns }: Room): readonly string[] | undefined {
  const found: string[] = []
  for (const set of ['cluster4', 'cluster6']) {
    const done = netns.exec(['nft', '-j', 'list', 'set', 'inet', 'tulle', set])
    if (done.code !== 0) return undefined
    const { nftables } = JSON.parse(done.stdout) as { nftables: readonly Record<string, unknown>[] }
    const { elem = [] } = nftables.flatMap(({ set: one }) => one ?? [])[0] as { elem?: unknown[] }
    found.push(...elem.map(textOf))
  }
  return found
}

type Range = { range?: readonly string[]; prefix?: { addr: string; len: number } }
function textOf(found: unknown): string {
  const { elem } = found as { elem?: { val: Range | string } }
  const value = elem ? elem.val : (found as Range | string)
  if (typeof value === 'string') return value
  return value.prefix ? `${value.prefix.addr}/${value.prefix.len}` : (value.range ?? []).join('-')
}

const some = (text: string): readonly Prefix[] => text.split(' ').filter(Boolean).map(prefix)
const lostWith =
  (...all: Parameters<Parameters<WhenLost>[0]>[0]): WhenLost =>
  (fill) =>
    fill(all)

test('setCluster: there, changed, so already, nothing', (t) =>
  withFilter((room) => {
    const { filter } = room
    t.ok(setCluster(filter, some('10.1.0.0/16 fd00:1::/48'), lostWith()))
    t.strictSame(listed(room), ['10.1.0.0/16', 'fd00:1::/48'])
    t.notOk(setCluster(filter, some('10.1.128.0/17 10.1.0.0/17 fd00:1::/48'), neverLost))
    t.ok(setCluster(filter, some('10.1.0.0/17 10.9.0.0/24'), neverLost))
    t.strictSame(listed(room), ['10.1.0.0/17', '10.9.0.0/24'])
    t.ok(setCluster(filter, [], neverLost))
    t.strictSame(listed(room), [])
    filter.dropEmptyTables()
    t.equal(listed(room), undefined, 'and nobody else needs the table')
    t.notOk(setCluster(filter, [], neverLost), 'nothing to set needs no table')
  }))

test('setCluster makes a table that is not there with all that it is to hold', (t) =>
  withFilter((room) => {
    const { netns, filter } = room
    const pod = holdingOf(podNumber(5))
    const prefixes = some('10.1.0.0/16')
    t.ok(setCluster(filter, prefixes, lostWith(pod, holdingOfCluster(prefixes))))
    t.strictSame(listed(room), ['10.1.0.0/16'])
    t.strictSame(filter.missingElements(pod), [])
    netns.exec(['nft', 'delete', 'table', 'inet', 'tulle'])
    filter.attach(pod, lostWith(pod, holdingOfCluster(prefixes)))
    t.strictSame(listed(room), ['10.1.0.0/16'], 'and so does an ADD')
    filter.detach(pod)
    filter.dropEmptyTables()
    t.strictSame(listed(room), ['10.1.0.0/16'], 'the last pod leaves what others use')
  }))

test('setCluster replaces a table of a version that knew no cluster', (t) =>
  withFilter((room) => {
    const { netns, filter } = room
    const pod = holdingOf(podNumber(5))
    filter.attach(pod, lostWith(pod))
    const rules = netns.exec(['nft', '-a', 'list', 'chain', 'inet', 'tulle', 'postrouting']).stdout
    for (const [, handle] of rules.matchAll(/within the cluster.*# handle (\d+)/g))
      netns.exec(['nft', 'delete', 'rule', 'inet', 'tulle', 'postrouting', 'handle', handle ?? ''])
    for (const set of ['cluster4', 'cluster6'])
      netns.exec(['nft', 'delete', 'set', 'inet', 'tulle', set])
    t.equal(listed(room), undefined)
    t.ok(setCluster(filter, some('10.1.0.0/16'), lostWith(pod)))
    t.strictSame(listed(room), ['10.1.0.0/16'])
    t.strictSame(filter.missingElements(pod), [])
  }))

test('what somebody put into the set goes, what is missing is known', (t) =>
  withFilter((room) => {
    const { netns, filter } = room
    setCluster(filter, some('10.1.0.0/16 10.9.0.0/24'), lostWith())
    netns.exec(['nft', 'add element inet tulle cluster4 { 10.77.0.0/16 }'])
    netns.exec(['nft', 'delete element inet tulle cluster4 { 10.9.0.0/24 }'])
    const { gone, missing } = clusterDifference(filter, some('10.1.0.0/16 10.9.0.0/24'))
    t.strictSame([gone.length, missing.length], [1, 1])
    t.ok(setCluster(filter, some('10.1.0.0/16 10.9.0.0/24'), neverLost))
    t.strictSame(listed(room), ['10.1.0.0/16', '10.9.0.0/24'])
  }))

/** Every address of the last /24, as nft says that the set holds it. */
function held(room: Room): string {
  const networks = (listed(room) ?? []).map((text) => {
    const [first = '', last = first] = text.split('-')
    return { whole: parsePrefix(first.includes('/') ? first : `${first}/32`), last }
  })
  return Array.from({ length: 256 }, (_, at) => {
    const address = { family: 4 as const, value: BigInt(0xffffff00 + at) }
    const isIn = networks.some(({ whole, last }) => {
      if (!whole) return false
      if (contains(whole, address)) return true
      const end = parsePrefix(`${last.split('/')[0]}/32`)?.address.value ?? 0n
      return whole.bits === 32 && address.value >= whole.address.value && address.value <= end
    })
    return isIn ? '1' : '0'
  }).join('')
}

const anyPrefixes: fc.Arbitrary<readonly Prefix[]> = fc.array(
  fc
    .record({ value: fc.integer({ min: 0, max: 255 }), bits: fc.integer({ min: 25, max: 32 }) })
    .map(({ value, bits }) => ({
      address: { family: 4 as const, value: BigInt(0xffffff00 + value) },
      bits,
    })),
  { maxLength: 8 },
)

test('from any prefixes to any others, in one batch each', (t) =>
  withFilter((room) => {
    const law = fc.property(fc.array(anyPrefixes, { minLength: 1, maxLength: 4 }), (steps) => {
      for (const prefixes of steps) {
        setCluster(room.filter, prefixes, lostWith())
        const want = Array.from({ length: 256 }, (_, at) => {
          const address = { family: 4 as const, value: BigInt(0xffffff00 + at) }
          return prefixes.some((one) => contains(one, address)) ? '1' : '0'
        }).join('')
        if (held(room) !== want) {
          const texts = mergePrefixes(prefixes).map(formatPrefix).join(' ')
          throw new Error(`${texts}: ${listed(room)} (${formatAddress({ family: 4, value: 0n })})`)
        }
      }
      return true
    })
    holds(t, law, 25)
  }))
