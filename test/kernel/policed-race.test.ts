import { test } from 'tap'
import type { Attachment } from '../../src/datapath/attachment.ts'
import { holdingOf } from '../../src/datapath/holding.ts'
import { FilterSocket } from '../../src/kernel/filter-socket.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { nft, policed, verdicts } from '../support/policed.ts'
import { placesIn } from './messages.ts'
import { Lodger, type Tap } from './node.ts'
import { neverLost, podNumber, storeOf } from './pods.ts'

type Scene = Readonly<{ netns: Netns; open: (tap?: Tap) => FilterSocket }>

async function withScene(use: (scene: Scene) => void): Promise<void> {
  const netns = makeNetns('policed')
  const lodgers: Lodger[] = []
  const open = (tap?: Tap): FilterSocket => {
    const lodger = new Lodger(netns, tap)
    lodgers.push(lodger)
    return new FilterSocket(lodger.native)
  }
  try {
    use({ netns, open })
  } finally {
    for (const lodger of lodgers) lodger.close()
    netns.close()
  }
}

const closed = (n: number, more: Partial<Attachment> = {}): Attachment =>
  podNumber(n, 'routed', { isPoliced: true, ...more })

// NFNL_SUBSYS_NFTABLES << 8 and the message's number, linux/netfilter/nf_tables.h
const [NEWSETELEM, DELSETELEM] = [0xa0c, 0xa0e]
const isBatch = (bytes: Buffer): boolean =>
  placesIn(bytes).some(({ type }) => type === NEWSETELEM || type === DELSETELEM)

/** Before the first batch is sent, when all has been asked. */
function beforeBatch(work: () => void): Tap {
  let isDone = false
  return (bytes) => {
    if (!isDone && isBatch(bytes)) {
      isDone = true
      work()
    }
    return bytes
  }
}

const stale =
  'add element inet tulle-policy egress4 { 10.1.0.1 : return }\n' +
  'add element inet tulle-policy ingress6 { fd00:1::1 : return }'

test('verdicts that were left go in the batch that closes the pod', async (t) =>
  withScene(({ netns, open }) => {
    const batches: number[] = []
    const filter = open((bytes) => {
      if (isBatch(bytes)) batches.push(placesIn(bytes).length)
      return bytes
    })
    filter.attach(holdingOf(closed(2)), storeOf(closed(2)))
    nft(netns, stale)
    batches.length = 0
    filter.attach(holdingOf(closed(1)), neverLost)
    t.equal(batches.length, 1)
    t.same(verdicts(netns), [])
    t.equal(policed(netns).length, 4)
  }))

test('the agent takes a verdict away as it is about to be taken', async (t) =>
  withScene(({ netns, open }) => {
    const all = storeOf(closed(1), closed(2))
    open().attach(holdingOf(closed(2)), storeOf(closed(2)))
    nft(netns, stale)
    const racing = open(
      beforeBatch(() => nft(netns, 'delete element inet tulle-policy egress4 { 10.1.0.1 }')),
    )
    racing.attach(holdingOf(closed(1)), all)
    t.same(verdicts(netns), [])
    t.same(racing.missingElements(holdingOf(closed(1))), [])
  }))

test('the agent makes the table anew with all on record, this pod too', async (t) =>
  withScene(({ netns, open }) => {
    const all = storeOf(closed(1), closed(2))
    const other = open()
    other.attach(holdingOf(closed(2)), storeOf(closed(2)))
    const racing = open(
      beforeBatch(() => {
        nft(netns, 'delete table inet tulle-policy')
        const { elements, ...rest } = holdingOf(closed(1))
        other.attach({ ...rest, elements: elements.slice(0, 2) }, all)
      }),
    )
    racing.attach(holdingOf(closed(1)), all)
    for (const one of [closed(1), closed(2)])
      t.same(racing.missingElements(holdingOf(one)), [], one.container)
    t.equal(policed(netns).length, 4)
  }))

test('either table may be lost: all is there afterwards, in both', async (t) =>
  withScene(({ netns, open }) => {
    const filter = open()
    for (const table of ['tulle', 'tulle-policy']) {
      filter.attach(holdingOf(closed(1)), storeOf(closed(1)))
      nft(netns, stale)
      nft(netns, `delete table inet ${table}`)
      const next = closed(1, { container: 'next' })
      filter.attach(holdingOf(next), storeOf(next))
      t.same(filter.missingElements(holdingOf(next)), [], `without ${table}`)
      t.same(verdicts(netns), [], 'and nothing is inherited')
      t.same(
        policed(netns).map((line) => line.replace(/^.*: /, '')),
        ['net/next/eth0', 'net/next/eth0'],
        'by whom it is now',
      )
      filter.detach(holdingOf(closed(1)))
      t.equal(policed(netns).length, 2, 'the earlier one takes nothing of it away')
      filter.detach(holdingOf(next))
      t.same(policed(netns), [])
    }
  }))

test('the policies’ table goes by itself, and stays if a pod comes', async (t) =>
  withScene(({ netns, open }) => {
    const filter = open()
    const open1 = podNumber(1)
    filter.attach(holdingOf(open1), storeOf(open1))
    filter.attach(holdingOf(closed(2)), storeOf(open1, closed(2)))
    const policies = { family: 'inet', table: 'tulle-policy' } as const
    const list = (): string => netns.exec(['nft', 'list', 'tables']).stdout
    filter.dropEmptyTables([policies])
    t.match(list(), 'tulle-policy')
    filter.detach(holdingOf(closed(2)))
    filter.dropEmptyTables([policies])
    t.notMatch(list(), 'tulle-policy')
    t.same(filter.missingElements(holdingOf(open1)), [])
  }))
