import { closeSync, openSync, readlinkSync } from 'node:fs'
import { test } from 'tap'
import { formatPrefix } from '../../src/base/prefix.ts'
import type { Native } from '../../src/kernel/native.ts'
import { NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket } from '../../src/kernel/netlink-socket.ts'
import type { Query } from '../../src/wire/netlink/message.ts'
import { nftBatch } from '../../src/wire/nft/message.ts'
import { dumpElements, newElement, newSet } from '../../src/wire/nft/set.ts'
import { deleteTable, newChain, newTable } from '../../src/wire/nft/table.ts'
import {
  decodeAddress,
  deleteAddress,
  dumpAddresses,
  newAddress,
} from '../../src/wire/rtnl/address.ts'
import { deleteLink, dumpLinks, getLink, newBridge, setLink } from '../../src/wire/rtnl/link.ts'
import { decodeLink } from '../../src/wire/rtnl/observed-link.ts'
import { newRoute } from '../../src/wire/rtnl/route.ts'
import { address, link, mac, prefix } from '../wire/values.ts'
import { native, type Room, refusalOf, runNft, withRoom } from './sockets.ts'

const lo = link(1)
const bridge = (name: string): Query =>
  newBridge({ name, mac: mac('0a:58:0a:01:00:02'), mtuBytes: 1500 })
const namesOf = ({ route }: Room): readonly string[] =>
  route
    .links()
    .map(({ name }) => name)
    .sort()

test("a refusal has the errno and the kernel's own words", (t) =>
  withRoom(({ rtnl }) => {
    const wrong = newRoute({
      link: lo,
      destination: prefix('10.2.0.0/16'),
      gateway: address('10.1.0.1'),
    })
    const refusal = refusalOf(() => rtnl.ask('add a route', wrong))
    t.equal(
      refusal?.message,
      'Cannot add a route: ENETUNREACH (kernel: "Nexthop has invalid gateway")',
    )
    t.equal(refusal?.errno, 101)
    const plain = refusalOf(() => rtnl.ask('look lo9 up', getLink({ name: 'lo9' })))
    t.equal(plain?.message, 'Cannot look lo9 up: ENODEV')
  }))

test('several messages in a send, one refused in the middle: the others are done', (t) =>
  withRoom((room) => {
    const fared = room.rtnl.exchange([
      bridge('br1'),
      bridge('br1'),
      getLink({ name: 'lo' }),
      deleteLink({ name: 'nosuch' }),
      bridge('br2'),
    ])
    t.strictSame(
      fared.map(({ errno }) => errno + 0),
      [0, 17, 0, 19, 0],
    )
    t.strictSame(
      fared.map(({ answers }) => answers.map(({ body }) => decodeLink(body).name)),
      [[], [], ['lo'], [], []],
    )
    t.strictSame(namesOf(room), ['br1', 'br2', 'lo'])
  }))

test('a send of many messages, every one refused or not on its own', (t) =>
  withRoom((room) => {
    const many = Array.from({ length: 1000 }, (_, at) =>
      at % 3 === 0 ? deleteLink({ name: 'nosuch' }) : setLink({ index: lo }),
    )
    const fared = room.rtnl.exchange(many)
    t.strictSame(
      fared.map(({ errno }) => errno + 0),
      many.map((_, at) => (at % 3 === 0 ? 19 : 0)),
    )
  }))

test('no messages are no question', (t) =>
  withRoom(({ rtnl }) => {
    t.strictSame(rtnl.exchange([]), [])
    t.equal(rtnl.ask('ask', getLink({ name: 'lo' })).length, 1)
  }))

test('a socket goes on after refusals, of questions and of dumps', (t) =>
  withRoom(({ rtnl, nft, netns }) => {
    // a request whose header says "links of a table" (change 0xff…): strict checking refuses it
    const odd = { ...dumpLinks(), body: new Uint8Array(16).fill(0xff) }
    t.equal(refusalOf(() => rtnl.ask('list', odd))?.errno, 22)
    t.equal(rtnl.ask('list', dumpLinks()).length, 1)
    t.equal(refusalOf(() => rtnl.ask('list', dumpAddresses(link(4711))))?.errno, 19)
    t.equal(rtnl.ask('look up', getLink({ name: 'lo' })).length, 1)
    const absent = dumpElements({ family: 'inet', table: 'tulle', set: 'names' })
    t.equal(refusalOf(() => nft.ask('list', absent))?.errno, 2)
    runNft(netns, 'add', 'table', 'inet', 'tulle')
    t.strictSame(nft.commitBatch(nftBatch([deleteTable({ family: 'inet', table: 'tulle' })])), [])
  }))

test('a dump of 3000 addresses', (t) =>
  withRoom((room) => {
    const all = Array.from({ length: 3000 }, (_, at) => `10.1.${at >> 8}.${at & 255}/32`)
    const added = room.rtnl.exchange(
      all.map((text) => newAddress({ link: lo, prefix: prefix(text), noPrefixRoute: true })),
    )
    t.ok(added.every(({ errno }) => errno === 0))
    const found = room.route.addresses(lo).map(formatPrefix)
    t.strictSame(new Set(found), new Set([...all, '127.0.0.1/8', '::1/128']))
    t.equal(found.length, 3002)
    t.equal(
      room.netns.ip('-4', '-o', 'address', 'show', 'dev', 'lo').trim().split('\n').length,
      3001,
    )
  }))

/** A native part that does something else behind each of the first `times` datagrams of dumps. */
function meddling(
  act: (time: number) => void,
  times: number,
): { native: Native; sends: () => number } {
  let [sends, done] = [0, 0]
  return {
    sends: () => sends,
    native: {
      ...native,
      send: (fd, bytes, length) => {
        sends++
        return native.send(fd, bytes, length)
      },
      receive: (fd, bytes, wait) => {
        const length = native.receive(fd, bytes, wait)
        if (wait === 1 && done < times) act(done++)
        return length
      },
    },
  }
}

test('a dump of links that change meanwhile is read again, until it is whole', (t) =>
  withRoom((room) => {
    const { rtnl, fd } = room
    rtnl.exchange(Array.from({ length: 80 }, (_, at) => bridge(`br${at}`)))
    const one = meddling(() => rtnl.ask('delete', deleteLink({ name: 'br0' })), 1)
    const socket = new NetlinkSocket(one.native, fd, NETLINK_ROUTE)
    const found = socket.ask('list', dumpLinks()).map(({ body }) => decodeLink(body).name)
    socket.close()
    t.ok(one.sends() > 1, 'it was interrupted')
    t.strictSame([...found].sort(), namesOf(room))
    t.equal(found.includes('br0'), false)
  }))

test('a dump of addresses that change meanwhile is read again', (t) =>
  withRoom(({ rtnl, fd }) => {
    const one = (at: number) => ({
      link: lo,
      prefix: prefix(`10.1.${at >> 8}.${at & 255}/32`),
      noPrefixRoute: true,
    })
    rtnl.exchange(Array.from({ length: 1500 }, (_, at) => newAddress(one(at))))
    const twice = meddling((time) => rtnl.ask('delete', deleteAddress(one(time))), 2)
    const socket = new NetlinkSocket(twice.native, fd, NETLINK_ROUTE)
    // of every link: of one alone, Linux (6.18 too) does not mark what was interrupted
    const found = socket.ask('list', dumpAddresses(link(0)))
    socket.close()
    t.ok(twice.sends() > 1, 'it was interrupted')
    const texts = found.flatMap(({ body }) => decodeAddress(body) ?? [])
    t.equal(new Set(texts.map((each) => formatPrefix(each.prefix))).size, 1500 - 2 + 2)
    t.equal(texts.length, 1500 - 2 + 2, 'none missing, none twice')
  }))

test('links that never rest: the dump is given up, and the socket goes on', (t) =>
  withRoom(({ rtnl, fd }) => {
    rtnl.exchange(Array.from({ length: 80 }, (_, at) => bridge(`br${at}`)))
    const restless = meddling((time) => rtnl.ask('delete', deleteLink({ name: `br${time}` })), 40)
    const socket = new NetlinkSocket(restless.native, fd, NETLINK_ROUTE)
    const refusal = refusalOf(() => socket.ask('list links', dumpLinks()))
    t.match(refusal?.message, /^Cannot list links \(8 dumps were interrupted/)
    t.equal(restless.sends(), 8)
    t.equal(socket.ask('look up', getLink({ name: 'lo' })).length, 1)
    socket.close()
  }))

const inet = { family: 'inet', table: 'tulle' } as const
const name = (text: string): Uint8Array => Buffer.from(text.padEnd(16, '\0'))
const names = { ...inet, set: 'names' }
const table = [newTable(inet), newSet({ ...names, key: ['ifname'], verdicts: false, id: 1 })]
const element = (text: string) => newElement({ ...names, key: name(text) })

for (const { why, changes, want } of [
  {
    why: 'the first',
    changes: [newChain({ ...inet, table: 'nosuch', chain: 'a' }), element('one'), element('two')],
    want: [[1, 2]],
  },
  {
    why: 'one in the middle',
    changes: [element('one'), newChain({ ...inet, table: 'nosuch', chain: 'a' }), element('two')],
    want: [[2, 2]],
  },
  { why: 'the last', changes: [element('one'), element('two'), element('one')], want: [[3, 17]] },
  {
    why: 'several',
    changes: [
      deleteTable({ ...inet, table: 'nosuch' }),
      element('one'),
      newTable(inet),
      element('one'),
    ],
    want: [
      [1, 2],
      [3, 17],
      [4, 17],
    ],
  },
] as const)
  test(`a batch whose refused message is ${why}: it is named, and nothing is committed`, (t) =>
    withRoom(({ nft, netns }) => {
      t.strictSame(nft.commitBatch(nftBatch(table)), [])
      const before = runNft(netns, 'list', 'ruleset')
      const refusals = nft.commitBatch(nftBatch(changes))
      t.strictSame(
        refusals.map(({ at, errno }) => [at, errno]),
        want,
      )
      t.equal(runNft(netns, 'list', 'ruleset'), before)
      t.strictSame(nft.commitBatch(nftBatch([element('one')])), [], 'and the socket goes on')
    }))

test('a batch of 2000 elements is committed whole, or not at all', (t) =>
  withRoom(({ nft, netns }) => {
    const many = Array.from({ length: 2000 }, (_, at) => element(`if${at}`))
    nft.commitBatch(nftBatch(table))
    const twice = nft.commitBatch(nftBatch([...many, element('if7')]))
    t.strictSame(
      twice.map(({ at, errno }) => [at, errno]),
      [[2001, 17]],
    )
    t.equal(runNft(netns, 'list', 'set', 'inet', 'tulle', 'names').includes('if7'), false)
    t.strictSame(nft.commitBatch(nftBatch(many)), [])
    t.equal(nft.ask('list', dumpElements(names)).length > 1, true, 'in several messages')
  }))

test('a socket is born in its namespace, and the process stays in its own', (t) =>
  withRoom((one) =>
    withRoom((other) => {
      const home = () => readlinkSync('/proc/thread-self/ns/net')
      const before = home()
      one.rtnl.ask('add', bridge('here'))
      t.strictSame(namesOf(one), ['here', 'lo'])
      t.strictSame(namesOf(other), ['lo'])
      t.equal(home(), before)
      const own = new NetlinkSocket(native, -1, NETLINK_ROUTE)
      const cookies = [own, one.rtnl, one.nft, other.rtnl].map((socket) => socket.netnsCookie())
      own.close()
      t.equal(typeof cookies[0], 'bigint')
      t.equal(cookies[1], cookies[2], 'one namespace')
      t.equal(new Set(cookies).size, 3, 'three namespaces')
    }),
  ))

for (const { why, fd, want } of [
  { why: 'no descriptor', fd: () => 9999, want: /EBADF/ },
  { why: 'a file that is no namespace', fd: () => openSync('/dev/null', 'r'), want: /EINVAL/ },
])
  test(`a socket in ${why} is refused, and the process stays in its own`, async (t) => {
    const before = readlinkSync('/proc/thread-self/ns/net')
    const number = fd()
    t.match(refusalOf(() => new NetlinkSocket(native, number, NETLINK_NETFILTER))?.message, want)
    t.equal(readlinkSync('/proc/thread-self/ns/net'), before)
    if (number !== 9999) closeSync(number)
  })

test('a second close leaves alone whoever has the number now', (t) =>
  withRoom(({ fd }) => {
    const socket = new NetlinkSocket(native, fd, NETLINK_ROUTE)
    socket.close()
    // one of so many has the number that the socket had
    const others = Array.from({ length: 50 }, () => openSync('/dev/null', 'r'))
    socket.close()
    t.doesNotThrow(() => {
      for (const other of others) closeSync(other)
    })
    t.equal(refusalOf(() => socket.ask('ask', getLink({ name: 'lo' })))?.errno, 9, 'EBADF')
  }))
