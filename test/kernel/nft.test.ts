import { test } from 'tap'
import {
  concatenate,
  decodeElements,
  deleteElement,
  dumpElements,
  type Element,
  flushSet,
  getElement,
  newElement,
  newSet,
} from '../../src/wire/nft/set.ts'
import { deleteTable, newChain, newTable } from '../../src/wire/nft/table.ts'
import { bytes } from '../wire/values.ts'
import { type Room, refusalOf, runNft, withRoom } from './sockets.ts'

const inet = { family: 'inet', table: 'tulle' } as const
const ifname = (name: string): Uint8Array => Buffer.from(name.padEnd(16, '\0'))
const mac = bytes('0a580a010005')
const own = { ...inet, chain: 'own-address' }

const sets = [
  { set: 'names', key: ['ifname'], verdicts: false },
  { set: 'guarded', key: ['ifname'], verdicts: true },
  { set: 'mac', key: ['ifname', 'ether_addr'], verdicts: false },
  { set: 'source4', key: ['ifname', 'ether_addr', 'ipv4_addr'], verdicts: false },
  { set: 'source6', key: ['ifname', 'ether_addr', 'ipv6_addr'], verdicts: false },
  { set: 'masquerade4', key: ['ipv4_addr'], verdicts: true },
  { set: 'masquerade6', key: ['ipv6_addr'], verdicts: true },
] as const

const makeTable = ({ commit }: Room): readonly string[] =>
  commit(
    newTable(inet),
    ...sets.map((one, at) => newSet({ ...inet, ...one, id: at + 1 })),
    newChain(own),
  )

const six = bytes('fd000000 00000000 00000000 00000005')
const four = bytes('0a010005')
const jump = { jump: 'own-address' }
/** An element for each set, with what `nft list` shows of it. */
const elements: readonly (Omit<Element, 'family' | 'table'> & { readonly shown: string })[] = [
  { set: 'names', key: ifname('tulA'), shown: '"tulA"' },
  { set: 'guarded', key: ifname('tulA'), verdict: jump, shown: '"tulA" : jump own-address' },
  { set: 'guarded', key: ifname('tulB'), verdict: 'drop', shown: '"tulB" : drop' },
  { set: 'guarded', key: ifname('tulC'), verdict: 'accept', shown: '"tulC" : accept' },
  { set: 'guarded', key: ifname('tulD'), verdict: 'return', shown: '"tulD" : return' },
  {
    set: 'mac',
    key: concatenate([ifname('tulA'), mac]),
    shown: '"tulA" . 0a:58:0a:01:00:05',
  },
  {
    set: 'source4',
    key: concatenate([ifname('tul0123456789ab'), mac, four]),
    shown: '"tul0123456789ab" . 0a:58:0a:01:00:05 . 10.1.0.5',
  },
  {
    set: 'source6',
    key: concatenate([ifname('tulA'), mac, six]),
    shown: '"tulA" . 0a:58:0a:01:00:05 . fd00::5',
  },
  { set: 'masquerade4', key: four, verdict: jump, shown: '10.1.0.5 : jump own-address' },
  { set: 'masquerade6', key: six, verdict: jump, shown: 'fd00::5 : jump own-address' },
]
const ours = (one: Omit<Element, 'family' | 'table'>): Element => ({
  ...inet,
  ...one,
  comment: 'net/id/eth0',
})

const listSet = ({ netns }: Room, name: string): string =>
  runNft(netns, 'list', 'set', 'inet', 'tulle', name).replace(/\s+/g, ' ')
const observed = ({ nft }: Room, set: string) =>
  nft.ask('list', dumpElements({ ...inet, set })).flatMap(({ body }) => decodeElements(body))
const hex = (of: Uint8Array): string => Buffer.from(of).toString('hex')

test('newSet: `nft list` shows each key type, and which are maps', (t) =>
  withRoom((room) => {
    t.strictSame(makeTable(room), [])
    for (const { set, key, verdicts } of sets) {
      const type = `type ${key.join(' . ')}${verdicts ? ' : verdict' : ''} `
      const list = runNft(room.netns, 'list', verdicts ? 'map' : 'set', 'inet', 'tulle', set)
      t.ok(list.replace(/\s+/g, ' ').includes(`${verdicts ? 'map' : 'set'} ${set} { ${type}`))
    }
  }))

test('newElement: `nft list` shows each with its comment, and takes its own listing back', (t) =>
  withRoom((room) => {
    makeTable(room)
    t.strictSame(room.commit(...elements.map((one) => newElement(ours(one)))), [])
    const listed = runNft(room.netns, 'list', 'table', 'inet', 'tulle')
    for (const { shown } of elements) {
      const [key, what] = shown.split(' : ')
      const line = `${key} comment "net/id/eth0"${what ? ` : ${what}` : ''}`
      t.ok(listed.includes(line), line)
    }
    runNft(room.netns, 'flush', 'ruleset')
    const again = room.netns.exec(['nft', '-f', '/dev/stdin'], { input: listed })
    t.equal(`${again.code} ${again.stderr}`, '0 ')
    t.equal(runNft(room.netns, 'list', 'table', 'inet', 'tulle'), listed)
  }))

test('flushSet takes all elements of one set, and the set can go in the same batch', (t) =>
  withRoom((room) => {
    makeTable(room)
    room.commit(...elements.map((one) => newElement(ours(one))))
    t.strictSame(room.commit(flushSet({ ...inet, set: 'masquerade4' })), [])
    t.strictSame(observed(room, 'masquerade4'), [])
    t.equal(observed(room, 'masquerade6').length, 1)
    t.strictSame(room.commit(flushSet({ ...inet, set: 'names' }), deleteTable(inet)), [])
  }))

test('what newElement put in, dumpElements lists and getElement finds', (t) =>
  withRoom((room) => {
    makeTable(room)
    room.commit(...elements.map((one) => newElement(ours(one))))
    for (const { set } of sets) {
      const want = elements.filter((one) => one.set === set).map(({ key }) => hex(key))
      const found = observed(room, set)
      t.strictSame(found.map(({ key }) => hex(key)).sort(), want.sort())
      t.ok(found.every((one) => one.set === set && one.comment === 'net/id/eth0'))
    }
    for (const one of elements) {
      const [answer] = room.nft.ask('get', getElement(ours(one)))
      const [found] = answer ? decodeElements(answer.body) : []
      t.strictSame([found?.comment, found && hex(found.key)], ['net/id/eth0', hex(one.key)])
    }
  }))

test('deleteElement takes one out, whether or not its verdict and comment are given', (t) =>
  withRoom((room) => {
    makeTable(room)
    room.commit(...elements.map((one) => newElement(ours(one))))
    for (const one of elements) {
      const bare = { ...inet, set: one.set, key: one.key }
      const before = observed(room, one.set).length
      t.strictSame(room.commit(deleteElement(one.set === 'guarded' ? ours(one) : bare)), [])
      t.equal(observed(room, one.set).length, before - 1)
      const refusal = refusalOf(() => room.nft.ask('get', getElement(bare)))
      t.equal(refusal?.errno, 2)
    }
  }))

test('decodeElements reads what `nft` made: with and without comments, hundreds', (t) =>
  withRoom((room) => {
    makeTable(room)
    const { netns } = room
    const some = Array.from({ length: 600 }, (_, at) => `10.2.${at >> 8}.${at & 255}`)
    const list = some.map((text, at) =>
      at % 2 === 0 ? `${text} : drop` : `${text} comment "pod ${at}" : drop`,
    )
    const script = `add element inet tulle masquerade4 { ${list.join(', ')} }`
    const done = netns.exec(['nft', '-f', '/dev/stdin'], { input: `${script}\n` })
    t.equal(`${done.code} ${done.stderr}`, '0 ')
    const found = observed(room, 'masquerade4').map(({ key, comment }) => [
      [...key].join('.'),
      comment,
    ])
    const want = some.map((text, at) => [text, at % 2 === 0 ? undefined : `pod ${at}`])
    t.strictSame(new Map(found as [string, string][]), new Map(want as [string, string][]))
    t.equal(found.length, 600)
  }))

test('a comment as long as `nft` takes comes through', (t) =>
  withRoom((room) => {
    makeTable(room)
    const text = 'x'.repeat(128)
    runNft(room.netns, 'add', 'element', 'inet', 'tulle', 'names', `{ "a" comment "${text}" }`)
    t.equal(observed(room, 'names')[0]?.comment, text)
  }))

test('a comment that is too long for us is cut, and `nft` lists what is left', (t) =>
  withRoom((room) => {
    makeTable(room)
    const one = { ...inet, set: 'names', key: ifname('a'), comment: 'y'.repeat(500) }
    t.strictSame(room.commit(newElement(one)), [])
    t.ok(listSet(room, 'names').includes(`"a" comment "${'y'.repeat(127)}"`))
  }))

for (const row of [
  { why: 'it is there', element: elements[0], errno: 17 },
  { why: 'no such set', element: { set: 'nosuch', key: four }, errno: 2 },
  {
    why: 'no such chain',
    element: { set: 'guarded', key: ifname('z'), verdict: { jump: 'nosuch' } },
    errno: 2,
  },
  { why: 'a map wants a verdict', element: { set: 'guarded', key: ifname('z') }, errno: 22 },
  {
    why: 'a set takes no verdict',
    element: { set: 'names', key: ifname('z'), verdict: 'drop' },
    errno: 22,
  },
  {
    why: 'a key of another length',
    element: { set: 'masquerade4', key: six, verdict: 'drop' },
    errno: 22,
  },
] as const)
  test(`newElement is refused: ${row.why}`, (t) =>
    withRoom((room) => {
      makeTable(room)
      room.commit(...elements.map((one) => newElement(ours(one))))
      if (!row.element) return
      const before = runNft(room.netns, 'list', 'ruleset')
      t.strictSame(room.commit(newElement(ours(row.element))), [`message 1: errno ${row.errno}`])
      t.equal(runNft(room.netns, 'list', 'ruleset'), before)
    }))
