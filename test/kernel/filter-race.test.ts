import { test } from 'tap'
import { holdingOf } from '../../src/datapath/holding.ts'
import { elementsOf, ownChainOf } from '../../src/datapath/ruleset.ts'
import { FilterSocket } from '../../src/kernel/filter-socket.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { placesIn } from './messages.ts'
import { Lodger, type Tap } from './node.ts'
import { neverLost, podNumber, storeOf } from './pods.ts'

type Scene = Readonly<{
  netns: Netns
  /** A socket whose bytes go through `tap`. */
  open: (tap?: Tap) => FilterSocket
  nft: (...words: readonly string[]) => string
}>

async function withScene(use: (scene: Scene) => void): Promise<void> {
  const netns = makeNetns('filter')
  const lodgers: Lodger[] = []
  const open = (tap?: Tap): FilterSocket => {
    const lodger = new Lodger(netns, tap)
    lodgers.push(lodger)
    return new FilterSocket(lodger.native)
  }
  const nft = (...words: readonly string[]): string => {
    const done = netns.exec(['nft', ...words])
    if (done.code !== 0) throw new Error(`Cannot nft ${words.join(' ')}: ${done.stderr}`)
    return done.stdout
  }
  try {
    use({ netns, open, nft })
  } finally {
    for (const lodger of lodgers) lodger.close()
    netns.close()
  }
}

// NFNL_SUBSYS_NFTABLES << 8 and the message's number, linux/netfilter/nf_tables.h
const [NEWTABLE, GETTABLE, DELTABLE, NEWSETELEM] = [0xa00, 0xa01, 0xa02, 0xa0c]

/** Does something before, or after, the first datagram that holds such a message is sent. */
function once(type: number | undefined, work: () => void): Tap {
  let isDone = false
  return (bytes) => {
    if (!isDone && placesIn(bytes).some((place) => place.type === type)) {
      isDone = true
      work()
    }
    return bytes
  }
}

/** The datagram behind the first one that holds such a message. */
function afterFirst(type: number | undefined, work: () => void): Tap {
  let seen = 0
  return (bytes) => {
    if (seen === 1) work()
    if (seen > 0 || placesIn(bytes).some((place) => place.type === type)) seen += 1
    return bytes
  }
}

test('somebody attaches between the making of a table and its filling', async (t) =>
  withScene(({ open, nft }) => {
    const [living, racer, late] = [1, 2, 3].map((n) => podNumber(n))
    if (!living || !racer || !late) return
    const all = storeOf(living, racer, late)
    const other = open()
    other.attach(holdingOf(living), storeOf(living))
    nft('flush', 'ruleset')
    const filter = open(afterFirst(NEWTABLE, () => other.attach(holdingOf(racer), all)))
    filter.attach(holdingOf(late), all)
    for (const one of [living, racer, late])
      t.strictSame(
        filter.missingElements(holdingOf(one)),
        [],
        `${one.container} has all that it had`,
      )
  }))

test('somebody clears up between the making of a table and its filling', async (t) =>
  withScene(({ open }) => {
    const one = podNumber(1)
    const other = open()
    const filter = open(afterFirst(NEWTABLE, () => other.dropEmptyTables()))
    t.doesNotThrow(() => filter.attach(holdingOf(one), storeOf(one)))
    t.strictSame(filter.missingElements(holdingOf(one)), [])
  }))

test('somebody makes the table at the same moment', async (t) =>
  withScene(({ open }) => {
    const [racer, late] = [podNumber(2), podNumber(3)]
    const other = open()
    const filter = open(once(NEWTABLE, () => other.attach(holdingOf(racer), storeOf(racer, late))))
    filter.attach(holdingOf(late), storeOf(racer, late))
    for (const one of [racer, late])
      t.strictSame(filter.missingElements(holdingOf(one)), [], one.container)
  }))

test('somebody takes the tables away again and again: in the end it is told', async (t) =>
  withScene(({ open, nft }) => {
    const [one, racer] = [podNumber(1), podNumber(2)]
    let tries = 0
    const other = open()
    const filter = open((bytes) => {
      const asked = placesIn(bytes)[0]?.type
      if (asked === GETTABLE) other.attach(holdingOf(racer), storeOf(racer))
      if (placesIn(bytes)[1]?.type === NEWSETELEM) {
        tries += 1
        nft('flush', 'ruleset')
      }
      return bytes
    })
    const EAGAIN = 11
    t.throws(() => filter.attach(holdingOf(one), storeOf()), {
      name: 'KernelRefusal',
      errno: EAGAIN,
      message: /net\/c1\/eth0 \(\d+ tries; somebody keeps changing our table\): EAGAIN$/,
    })
    t.ok(tries > 1 && tries < 20, `${tries} tries`)
  }))

test('the chain alone is missing: it is made, and no table is', async (t) =>
  withScene(({ open, nft }) => {
    const filter = open()
    filter.attach(holdingOf(podNumber(1)), storeOf(podNumber(1)))
    const other = podNumber(2, 'routed', { masqueradeExcept: ['192.0.2.0/24'] })
    filter.attach(holdingOf(other), neverLost)
    t.strictSame(filter.missingElements(holdingOf(other)), [])
    t.match(nft('list', 'ruleset'), `chain ${ownChainOf(other)?.name.chain}`)
  }))

test('one of two tables is missing: it is filled for everybody, the other is let be', async (t) =>
  withScene(({ open, nft }) => {
    const filter = open()
    const [one, two] = [podNumber(1, 'bridge'), podNumber(2, 'bridge')]
    filter.attach(holdingOf(one), storeOf(one))
    for (const table of ['bridge', 'inet']) {
      nft('delete', 'table', table, 'tulle')
      filter.attach(holdingOf(two), storeOf(one, two))
      for (const pod of [one, two])
        t.strictSame(filter.missingElements(holdingOf(pod)), [], `${table}, ${pod.container}`)
      filter.detach(holdingOf(two))
    }
  }))

test('an element that a killed process left jumps to another chain: it is replaced', async (t) =>
  withScene(({ open, nft }) => {
    const filter = open()
    const stale = podNumber(1, 'routed', { masqueradeExcept: ['192.0.2.0/24'] })
    filter.attach(holdingOf(stale), storeOf(stale))
    const fresh = { ...podNumber(1), container: 'next' }
    filter.attach(holdingOf(fresh), neverLost)
    const text = nft('list', 'map', 'inet', 'tulle', 'masquerade4')
    t.match(text, `jump ${ownChainOf(fresh)?.name.chain}`)
    t.match(text, 'net/next/eth0')
    t.notMatch(text, 'net/c1/eth0')
  }))

test('a table for more pods than go into one message is filled to the last', async (t) =>
  withScene(({ open, nft }) => {
    const filter = open()
    const all = Array.from({ length: 400 }, (_, at) => podNumber(at + 1))
    const last = podNumber(9999)
    filter.attach(holdingOf(last), storeOf(...all, last))
    t.strictSame(
      [...all, last].flatMap((one) => filter.missingElements(holdingOf(one))),
      [],
    )
    const wanted = elementsOf(last).length * 401
    t.equal(nft('list', 'ruleset').split('comment "net/').length - 1, wanted)
  }))

test('tables with an element of nobody’s in them are not empty', async (t) =>
  withScene(({ open, nft }) => {
    const filter = open()
    filter.attach(holdingOf(podNumber(1)), storeOf(podNumber(1)))
    nft('add', 'element', 'inet', 'tulle', 'guarded', '{ "veth9" : jump own-mac }')
    filter.detach(holdingOf(podNumber(1)))
    filter.dropEmptyTables()
    t.match(nft('list', 'ruleset'), '"veth9" : jump own-mac')
    nft('delete', 'element', 'inet', 'tulle', 'guarded', '{ "veth9" }')
    filter.dropEmptyTables()
    t.equal(nft('list', 'ruleset'), '')
  }))

for (const { why, change } of [
  { why: 'a pod comes', change: 'pod' },
  { why: 'anybody changes anything', change: 'stranger' },
] as const) {
  test(`empty tables are left where they are if, as they are dropped, ${why}`, async (t) =>
    withScene(({ open, nft }) => {
      const other = open()
      const [first, next] = [podNumber(1), podNumber(2)]
      const work = {
        pod: () => other.attach(holdingOf(next), neverLost),
        stranger: () => void nft('add', 'table', 'inet', 'stranger'),
      }[change]
      const filter = open(once(DELTABLE, work))
      filter.attach(holdingOf(first), storeOf(first))
      filter.detach(holdingOf(first))
      t.doesNotThrow(() => filter.dropEmptyTables())
      t.match(nft('list', 'tables'), 'table inet tulle')
      if (change === 'pod')
        t.strictSame(filter.missingElements(holdingOf(next)), [], 'with the pod in it')
    }))
}
