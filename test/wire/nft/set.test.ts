import { test } from 'tap'
import { ShapeError } from '../../../src/base/bytes.ts'
import { attribute, nested, text } from '../../../src/wire/netlink/attribute.ts'
import { decodeReplies } from '../../../src/wire/netlink/message.ts'
import { commentData } from '../../../src/wire/nft/message.ts'
import {
  concatenate,
  decodeElements,
  deleteElement,
  dumpElements,
  getElement,
  newElement,
  newSet,
} from '../../../src/wire/nft/set.ts'
import {
  agrees,
  type GoldenRow,
  goldenMessages,
  linesOf,
  nftShape,
  readGolden,
  titleOf,
} from '../golden.ts'
import { bytes } from '../values.ts'

const inet = { family: 'inet', table: 'tulle' } as const
const ifname = (name: string): Uint8Array => Buffer.from(name.padEnd(16, '\0'))
const source = {
  ...inet,
  set: 'source4',
  key: concatenate([ifname('tulA'), bytes('0a580a010005'), bytes('0a010005')]),
  comment: 'net/id/eth0',
}
const guarded = { ...inet, set: 'guarded', key: ifname('tulA'), comment: 'net/id/eth0' }

const userData = (ours: readonly string[], theirs: string) => ({
  why: 'nft says in user data how it spells the key: types are enough to list it',
  ours,
  theirs: [`13 = ${theirs}`],
})
const setId = (id: number) => ({
  why: 'nft names the set by its number in the batch too',
  theirs: [`4 = ${id.toString(16).padStart(8, '0')}`],
})

const rows: readonly Omit<GoldenRow, 'shape'>[] = [
  {
    golden: 'nft-table-inet',
    at: 2,
    ours: newSet({
      ...inet,
      set: 'source4',
      key: ['ifname', 'ether_addr', 'ipv4_addr'],
      verdicts: false,
      id: 1,
    }),
    but: userData([], '000400000000030800040d0000000100'),
  },
  {
    golden: 'nft-table-inet',
    at: 3,
    ours: newSet({ ...inet, set: 'plain', key: ['ipv6_addr'], verdicts: false, id: 2 }),
    but: userData([], '000402000000'),
  },
  {
    golden: 'nft-table-inet',
    at: 4,
    ours: newSet({ ...inet, set: 'guarded', key: ['ifname'], verdicts: true, id: 3 }),
    but: userData(['13 = 000401000000'], '000401000000010400000000060400000000'),
  },
  {
    golden: 'nft-table-inet',
    at: 5,
    ours: newSet({ ...inet, set: 'masquerade4', key: ['ipv4_addr'], verdicts: true, id: 4 }),
    but: userData([], '000402000000010400000000060400000000'),
  },
  {
    golden: 'nft-table-ports',
    at: 2,
    ours: newSet({
      ...inet,
      set: 'hostport4',
      key: ['inet_proto', 'inet_service'],
      verdicts: false,
      value: ['ipv4_addr', 'inet_service'],
      id: 1,
    }),
    but: userData(
      [],
      '000400000000010400000000030800040d0000000100040800040d0000000100060400000000',
    ),
  },
  {
    golden: 'nft-element-add-value',
    at: 1,
    ours: newElement({
      ...inet,
      set: 'hostport4',
      key: concatenate([bytes('06'), bytes('1f90')]),
      value: concatenate([bytes('0a010005'), bytes('0050')]),
      comment: 'net/id/eth0',
    }),
    but: setId(1),
  },
  {
    golden: 'nft-table-cluster',
    at: 2,
    ours: newSet({
      ...inet,
      set: 'cluster4',
      key: ['ipv4_addr'],
      verdicts: false,
      interval: true,
      id: 1,
    }),
    but: userData([], '000402000000'),
  },
  {
    golden: 'nft-table-bridge',
    at: 2,
    ours: newSet({
      family: 'bridge',
      table: 'tulle',
      set: 'mac',
      key: ['ifname', 'ether_addr'],
      verdicts: false,
      id: 1,
    }),
    but: userData([], '000400000000030800040d0000000100'),
  },
  { golden: 'nft-element-add', at: 1, ours: newElement(source), but: setId(1) },
  {
    golden: 'nft-element-add-verdict',
    at: 1,
    ours: newElement({ ...guarded, verdict: { jump: 'own-address' } }),
    but: setId(3),
  },
  {
    golden: 'nft-element-delete',
    at: 1,
    ours: deleteElement({ ...guarded, verdict: { jump: 'own-address' } }),
  },
  {
    golden: 'nft-element-get',
    ours: getElement(guarded),
    but: {
      why: 'nft asks for an acknowledgement, and says the set before the table',
      ours: ['flags 1'],
      theirs: ['flags 5'],
    },
  },
  {
    golden: 'nft-element-dump',
    ours: dumpElements({ ...inet, set: 'guarded' }),
    but: { why: 'nft says the set before the table' },
  },
]
for (const row of rows)
  test(titleOf(row), async (t) => {
    agrees(t, { ...row, shape: nftShape })
  })

for (const row of [
  { key: ['ifname'], type: 41, bytes: 16 },
  { key: ['ether_addr'], type: 9, bytes: 6 },
  { key: ['ipv4_addr'], type: 7, bytes: 4 },
  { key: ['ipv6_addr'], type: 8, bytes: 16 },
  // six bits a type; six bytes of a MAC take eight
  { key: ['ifname', 'ether_addr'], type: 41 * 64 + 9, bytes: 24 },
  { key: ['ifname', 'ether_addr', 'ipv6_addr'], type: (41 * 64 + 9) * 64 + 8, bytes: 40 },
] as const)
  test(`newSet: a key of ${row.key.join(' . ')}`, async (t) => {
    const made = newSet({ ...inet, set: 's', key: row.key, verdicts: false, id: 1 })
    const lines = linesOf({ ...made, body: Buffer.from(made.body) }, nftShape)
    t.ok(lines.includes(`4 = ${row.type.toString(16).padStart(8, '0')}`))
    t.ok(lines.includes(`5 = ${row.bytes.toString(16).padStart(8, '0')}`))
  })

for (const row of [
  { why: 'whole registers stay', parts: ['0a010005', '0a010006'], want: '0a0100050a010006' },
  {
    why: 'a MAC is padded to eight',
    parts: ['0a580a010005', '0a010005'],
    want: '0a580a01000500000a010005',
  },
  {
    why: 'the last as well',
    parts: ['0a010005', '0a580a010005'],
    want: '0a0100050a580a0100050000',
  },
  { why: 'nothing', parts: [], want: '' },
])
  test(`concatenate: ${row.why}`, async (t) => {
    t.equal(Buffer.from(concatenate(row.parts.map(bytes))).toString('hex'), row.want)
  })

for (const row of [
  { golden: 'reply-elements', want: [['source4', Buffer.from(source.key).toString('hex')]] },
  { golden: 'reply-elements-map', want: [['guarded', Buffer.from(guarded.key).toString('hex')]] },
])
  test(`decodeElements reads golden ${row.golden}`, async (t) => {
    const found = decodeReplies(readGolden(row.golden)).flatMap((reply) =>
      reply.kind === 'message' ? decodeElements(reply.message.body) : [],
    )
    t.strictSame(
      found.map(({ set, key, comment }) => [set, Buffer.from(key).toString('hex'), comment]),
      row.want.map((one) => [...one, 'net/id/eth0']),
    )
  })

/** Key, whether it ends a range, comment. */
const rangeLines = (body: Uint8Array): readonly string[] =>
  decodeElements(body).map(
    ({ key, isEnd, comment }) =>
      `${Buffer.from(key).toString('hex')}${isEnd ? ' end' : ''} ${comment ?? ''}`,
  )

test('newElement of a range says what nft says, but for an end at 0 of nothing', async (t) => {
  const range = { key: bytes('0a090000'), until: bytes('0a090300'), comment: 'cluster' }
  const [, theirs] = goldenMessages('nft-element-add-range')
  const ours = newElement({ ...inet, set: 'cluster4', ...range })
  t.equal(ours.type, theirs?.type)
  t.strictSame(rangeLines(ours.body), ['0a090000 cluster', '0a090300 end '])
  t.strictSame(rangeLines(theirs?.body ?? bytes('')), ['00000000 end ', ...rangeLines(ours.body)])
  const open = newElement({ ...inet, set: 'cluster4', key: bytes('e0000000') })
  t.strictSame(rangeLines(open.body), ['e0000000 '])
})

test('decodeElements reads ranges, their ends among them', async (t) => {
  const found = goldenMessages('reply-ranges').flatMap(({ type, body }) =>
    type === 0x0a0c ? rangeLines(body) : [],
  )
  const want = ['00000000 end ', '0a010000 ', '0a020000 end ', '0a090000 cluster']
  t.strictSame([...found].sort(), [...want, '0a090300 end ', 'e0000000 '])
})

const head = bytes('01000000')
const key = (hex: string) => nested(1, [attribute(1, bytes(hex))])
const bodyOf = (...elements: readonly Uint8Array[][]): Uint8Array =>
  Buffer.concat([
    head,
    text(1, 'tulle'),
    text(2, 's'),
    nested(
      3,
      elements.map((parts) => nested(1, parts)),
    ),
  ])

test('decodeElements: several in a message, in order; comments where there are any', async (t) => {
  const found = decodeElements(
    bodyOf([key('0a010001'), commentData(6, 'one')], [key('0a010002')], [key('0a010003')]),
  )
  t.strictSame(
    found.map((one) => [one.set, Buffer.from(one.key).toString('hex'), one.comment]),
    [
      ['s', '0a010001', 'one'],
      ['s', '0a010002', undefined],
      ['s', '0a010003', undefined],
    ],
  )
})

for (const row of [
  { why: 'a set without elements', body: bodyOf(), want: [] },
  { why: 'a message without a list', body: head, want: [] },
  { why: 'an element without a key (a catch-all)', body: bodyOf([]), want: [''] },
  {
    why: 'the last of two keys',
    body: bodyOf([key('0a010001'), key('0a010002')]),
    want: ['0a010002'],
  },
])
  test(`decodeElements: ${row.why}`, async (t) => {
    const found = decodeElements(row.body)
    t.strictSame(
      found.map((one) => Buffer.from(one.key).toString('hex')),
      row.want,
    )
  })

const bad = (hex: string) => attribute(0x8001, bytes(hex))
for (const row of [
  { why: 'no header', body: bytes('010000') },
  { why: 'an element of odd length', body: Buffer.concat([head, nested(3, [bad('03000180')])]) },
  {
    why: 'an element longer than its list',
    body: Buffer.concat([head, nested(3, [bad('ff000180')])]),
  },
  {
    why: 'a key longer than its element',
    body: bodyOf([attribute(0x8001, bytes('ff00010000000000'))]),
  },
])
  test(`decodeElements refuses ${row.why}`, async (t) => {
    t.throws(() => decodeElements(row.body), ShapeError)
  })

test('newElement comes back through decodeElements', async (t) => {
  const [found] = decodeElements(newElement(source).body)
  t.equal(found && Buffer.from(found.key).toString('hex'), Buffer.from(source.key).toString('hex'))
  t.equal(found?.comment, source.comment)
})
