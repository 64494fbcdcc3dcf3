import { test } from 'tap'
import type { Attachment } from '../../src/datapath/attachment.ts'
import { holdingOf } from '../../src/datapath/holding.ts'
import { bridgeTable, elementsOf, inetTable, rulesOf } from '../../src/datapath/ruleset.ts'
import { FilterSocket } from '../../src/kernel/filter-socket.ts'
import type { Native } from '../../src/kernel/native.ts'
import { cutComment } from '../../src/wire/nft/message.ts'
import { attachmentOf, modes } from '../datapath/attachments.ts'
import { typesOf } from '../wire/golden.ts'
import { neverLost, storeOf } from './pods.ts'
import { native, type Room, runNft, withRoom } from './sockets.ts'

/** The native part for which the room is "the namespace of this process". */
const living = (fd: number): Native => ({
  ...native,
  socketIn: (netnsFd, protocol) => native.socketIn(netnsFd === -1 ? fd : netnsFd, protocol),
})

type Filtered = Room & { readonly filter: FilterSocket }
const withFilter = (use: (room: Filtered) => void): Promise<void> =>
  withRoom((room) => {
    const filter = new FilterSocket(living(room.fd))
    try {
      use({ ...room, filter })
    } finally {
      filter.close()
    }
  })

/** Pod number n of a node, masqueraded, in its own guard. */
const pod = (n: number, mode: Attachment['mode'] = 'routed', more: Partial<Attachment> = {}) =>
  attachmentOf(mode, 'dual', {
    container: `c${n}`,
    link: `tul${n}`,
    podMac: `0a:58:0a:01:00:0${n}`,
    ips: [
      { address: `10.1.0.${n}`, subnetBits: 24, gateway: '10.1.0.254' },
      { address: `fd00:1::${n}`, subnetBits: 64, gateway: 'fd00:1::fe' },
    ],
    masqueradeExcept: [],
    ...more,
  })

const NFT_MSG_NEWTABLE = 10 << 8
const NFT_MSG_DELTABLE = NFT_MSG_NEWTABLE | 2
const ruleset = ({ netns }: Room): string => runNft(netns, 'list', 'ruleset')
const count = (text: string, word: string): number => text.split(word).length - 1

for (const mode of modes)
  test(`attach (${mode}) makes tables and elements; detach leaves nothing`, (t) =>
    withFilter((room) => {
      const { filter } = room
      const one = pod(1, mode)
      filter.attach(holdingOf(one), storeOf(one))
      t.strictSame(filter.missingElements(holdingOf(one)), [])
      const guard = mode === 'routed' ? inetTable : bridgeTable
      t.strictSame(filter.rules(inetTable), rulesOf(inetTable, one))
      t.strictSame(filter.rules(guard), rulesOf(guard, one))
      t.equal(count(ruleset(room), 'comment "net/c1/eth0"'), elementsOf(one).length)
      filter.detach(holdingOf(one))
      t.equal(ruleset(room).includes('net/c1/eth0'), false)
      t.equal(ruleset(room).includes('masquerade-'), false, 'nor its chain')
      filter.dropEmptyTables()
      t.equal(ruleset(room), '')
    }))

test('attach of a second pod adds its elements alone, in one batch', (t) =>
  withFilter((room) => {
    const { filter } = room
    filter.attach(holdingOf(pod(1)), storeOf(pod(1)))
    const before = filter.generation()
    filter.attach(holdingOf(pod(2)), neverLost)
    t.equal(filter.generation(), before + 1)
    t.strictSame(
      [...filter.missingElements(holdingOf(pod(1))), ...filter.missingElements(holdingOf(pod(2)))],
      [],
    )
  }))

test('attach of a pod with other exceptions makes its chain alone', (t) =>
  withFilter((room) => {
    const { filter } = room
    const other = pod(2, 'routed', { masqueradeExcept: ['192.0.2.0/24'] })
    filter.attach(holdingOf(pod(1)), storeOf(pod(1)))
    filter.attach(holdingOf(other), neverLost)
    t.strictSame(filter.missingElements(holdingOf(other)), [])
    const want = rulesOf(inetTable, other)
    const found = filter.rules(inetTable)
    t.strictSame(
      found.filter((rule) => want.includes(rule)),
      want,
    )
    const guard = { ...inetTable, chain: 'prerouting' }
    const inGuard = want.filter((rule) => rule.startsWith('prerouting: '))
    t.ok(inGuard.length > 0)
    t.strictSame(filter.rules(guard), inGuard, 'of one chain alone')
  }))

test('attach twice changes nothing that can be seen', (t) =>
  withFilter((room) => {
    room.filter.attach(holdingOf(pod(1)), storeOf(pod(1)))
    const before = ruleset(room)
    room.filter.attach(holdingOf(pod(1)), neverLost)
    t.equal(ruleset(room), before)
  }))

test('attach takes the place of what another pod left under the same keys', (t) =>
  withFilter((room) => {
    const { filter } = room
    filter.attach(holdingOf(pod(1)), storeOf(pod(1)))
    const next = { ...pod(1), container: 'next' }
    filter.attach(holdingOf(next), neverLost)
    t.equal(ruleset(room).includes('net/c1/eth0'), false)
    t.equal(count(ruleset(room), 'comment "net/next/eth0"'), elementsOf(next).length)
  }))

test('after `nft flush ruleset` the next attach fills the tables with every pod', (t) =>
  withFilter((room) => {
    const { filter, netns } = room
    const all = [
      pod(1),
      pod(2),
      pod(3, 'bridge'),
      pod(4, 'routed', { masqueradeExcept: ['192.0.2.0/24'] }),
    ]
    for (const one of all)
      filter.attach(holdingOf(one), storeOf(...all.slice(0, all.indexOf(one) + 1)))
    const before = ruleset(room)
    runNft(netns, 'flush', 'ruleset')
    t.equal(filter.missingElements(holdingOf(pod(1))).length, elementsOf(pod(1)).length)
    filter.attach(holdingOf(pod(1)), storeOf(...all))
    for (const one of [0, 1, 3].map((at) => all[at]))
      t.strictSame(one && filter.missingElements(holdingOf(one)), [])
    filter.attach(holdingOf(pod(3, 'bridge')), storeOf(...all))
    for (const one of all) t.strictSame(filter.missingElements(holdingOf(one)), [])
    t.equal(ruleset(room).split('\n').length, before.split('\n').length)
  }))

test('a table is filled whole, though another ADD is quicker with its own elements', (t) =>
  withRoom((room) => {
    const all = [1, 2, 3].map((n) => pod(n))
    const other = new FilterSocket(living(room.fd))
    let tableMade = false
    const meddled: Native = {
      ...living(room.fd),
      send: (fd, bytes, length) => {
        // the table is there, and empty: the second pod's ADD comes in between
        if (tableMade) other.attach(holdingOf(pod(2)), neverLost)
        tableMade = false
        const sent = native.send(fd, bytes, length)
        tableMade = typesOf(Buffer.from(bytes.subarray(0, length))).includes(NFT_MSG_NEWTABLE)
        return sent
      },
    }
    const filter = new FilterSocket(meddled)
    filter.attach(holdingOf(pod(1)), storeOf(...all))
    for (const one of all)
      t.strictSame(
        filter.missingElements(holdingOf(one)).map(({ set }) => `${one.container} ${set}`),
        [],
      )
    for (const socket of [filter, other]) socket.close()
  }))

test('pods with equal exceptions share a chain; the last one takes it away', (t) =>
  withFilter((room) => {
    const { filter } = room
    const [one, two] = [pod(1), pod(2)]
    const other = pod(3, 'routed', { masqueradeExcept: ['192.0.2.0/24'] })
    for (const each of [one, two, other]) filter.attach(holdingOf(each), storeOf(one, two, other))
    const chains = () => new Set(ruleset(room).match(/chain masquerade-\w+/g) ?? []).size
    t.equal(chains(), 2)
    filter.detach(holdingOf(one))
    t.equal(chains(), 2)
    t.strictSame(filter.missingElements(holdingOf(two)), [])
    filter.detach(holdingOf(two))
    t.equal(chains(), 1)
    t.strictSame(filter.missingElements(holdingOf(other)), [])
  }))

test('detach of what is not there, or half there, is no fault', (t) =>
  withFilter((room) => {
    const { filter, netns } = room
    filter.detach(holdingOf(pod(1)))
    filter.attach(holdingOf(pod(1)), storeOf(pod(1)))
    runNft(netns, 'delete', 'element', 'inet', 'tulle', 'masquerade4', '{ 10.1.0.1 }')
    const missing = filter.missingElements(holdingOf(pod(1)))
    t.strictSame(
      missing.map(({ set }) => set),
      ['masquerade4'],
    )
    filter.detach(holdingOf(pod(1)))
    filter.detach(holdingOf(pod(1)))
    t.equal(ruleset(room).includes('net/c1/eth0'), false)
  }))

test('findElements finds by comment, in both tables', (t) =>
  withFilter((room) => {
    const { filter } = room
    const [one, two] = [pod(1), pod(2, 'bridge')]
    for (const each of [one, two]) filter.attach(holdingOf(each), storeOf(one, two))
    const found = filter.findElements((comment) => comment === 'net/c2/eth0')
    t.equal(found.length, elementsOf(two).length)
    filter.deleteElements(found)
    t.equal(ruleset(room).includes('net/c2/eth0'), false)
    t.strictSame(filter.missingElements(holdingOf(one)), [])
    t.strictSame(
      filter.findElements(() => false),
      [],
    )
  }))

// The longest container id that runtimes give is 64 digits; the specification limits no name.
for (const length of [8, 57, 58, 63, 100])
  test(`findElements knows an attachment of a network whose name has ${length} letters`, (t) =>
    withFilter(({ filter }) => {
      const one = pod(1, 'routed', { network: 'n'.repeat(length), container: 'c'.repeat(64) })
      filter.attach(holdingOf(one), storeOf(one))
      const name = cutComment(`${one.network}/${one.container}/${one.ifname}`)
      t.equal(filter.findElements((comment) => comment === name).length, elementsOf(one).length)
    }))

test('dropUnusedChains takes chains that nobody jumps to, and leaves the others', (t) =>
  withFilter((room) => {
    const { filter } = room
    const other = pod(2, 'routed', { masqueradeExcept: ['192.0.2.0/24'] })
    for (const each of [pod(1), other]) filter.attach(holdingOf(each), storeOf(pod(1), other))
    filter.deleteElements(elementsOf(other))
    filter.dropUnusedChains()
    t.equal(new Set(ruleset(room).match(/chain masquerade-\w+/g) ?? []).size, 1)
    t.strictSame(filter.missingElements(holdingOf(pod(1))), [])
  }))

test("dropEmptyTables leaves tables in use, and other people's", (t) =>
  withFilter((room) => {
    const { filter, netns } = room
    filter.dropEmptyTables()
    runNft(netns, 'add', 'table', 'inet', 'other')
    filter.attach(holdingOf(pod(1)), storeOf(pod(1)))
    const before = ruleset(room)
    filter.dropEmptyTables()
    t.equal(ruleset(room), before)
    filter.detach(holdingOf(pod(1)))
    filter.dropEmptyTables()
    t.equal(ruleset(room).trim(), 'table inet other {\n}')
  }))

test('dropEmptyTables leaves a table that is filled while it looks', (t) =>
  withRoom((room) => {
    const late = new FilterSocket(living(room.fd))
    let isLate = false
    const meddled: Native = {
      ...living(room.fd),
      // every set was seen to be empty, and the tables are about to go
      send: (fd, bytes, length) => {
        const types = typesOf(Buffer.from(bytes.subarray(0, length)))
        if (!isLate && types.includes(NFT_MSG_DELTABLE)) late.attach(holdingOf(pod(2)), neverLost)
        isLate ||= types.includes(NFT_MSG_DELTABLE)
        return native.send(fd, bytes, length)
      },
    }
    late.attach(holdingOf(pod(1)), storeOf(pod(1)))
    late.detach(holdingOf(pod(1)))
    const filter = new FilterSocket(meddled)
    filter.dropEmptyTables()
    t.equal(isLate, true)
    t.strictSame(late.missingElements(holdingOf(pod(2))), [])
    for (const socket of [late, filter]) socket.close()
  }))

test('an attachment without guard and masquerade needs no table', (t) =>
  withFilter((room) => {
    const bare = pod(1, 'routed', { spoofCheck: false, masqueradeExcept: null })
    room.filter.attach(holdingOf(bare), neverLost)
    t.equal(ruleset(room), '')
    room.filter.detach(holdingOf(bare))
    t.strictSame(room.filter.rules(inetTable), [], 'a table that is not there has no rules')
  }))
