import fc from 'fast-check'
import { test } from 'tap'
import { ShapeError } from '../../../src/base/bytes.ts'
import { readAttributes } from '../../../src/wire/netlink/attribute.ts'
import { decodeReplies } from '../../../src/wire/netlink/message.ts'
import {
  commentData,
  cutComment,
  decodeGeneration,
  getGeneration,
  nftBatch,
  nftQuery,
  readComment,
  readNft,
} from '../../../src/wire/nft/message.ts'
import { deleteChain, deleteTable } from '../../../src/wire/nft/table.ts'
import { holds } from '../../base/law.ts'
import { agrees, linesOf, nftShape, readGolden } from '../golden.ts'
import { bytes } from '../values.ts'

const inet = { family: 'inet', table: 'tulle' } as const
const lines = (query: ReturnType<typeof nftQuery>): readonly string[] =>
  linesOf({ ...query, body: Buffer.from(query.body) }, nftShape)

for (const { family, head } of [
  { family: 'inet', head: '01000000' },
  { family: 'bridge', head: '07000000' },
] as const)
  test(`nftQuery: the header of ${family}`, async (t) => {
    const query = nftQuery(family, { number: 9, flags: 0x600 }, [])
    t.strictSame(lines(query), ['type 2569', 'flags 601', `head ${head}`])
  })

test('nftBatch asks for an acknowledgement of the last change alone', async (t) => {
  const changes = [deleteChain({ ...inet, chain: 'a' }), deleteTable(inet)]
  const batch = nftBatch(changes)
  t.strictSame(
    batch.map(({ type, flags }) => [type, flags]),
    [
      [0x10, 1],
      [0xa05, 1],
      [0xa02, 5],
      [0x11, 1],
    ],
  )
  t.strictSame(
    changes.map(({ flags }) => flags),
    [1, 1],
    'what was given stays as it was',
  )
})

test('nftBatch without a generation names none; with one, in network order', async (t) => {
  const [plain] = nftBatch([deleteTable(inet)])
  const [bound] = nftBatch([deleteTable(inet)], 0x01020304)
  t.strictSame(plain && lines(plain), ['type 16', 'flags 1', 'head 0000000a'])
  t.strictSame(bound && lines(bound), ['type 16', 'flags 1', 'head 0000000a', '1 = 01020304'])
})

test('nftBatch of generation 0 names it', async (t) => {
  const [bound] = nftBatch([deleteTable(inet)], 0)
  t.equal(bound && lines(bound).at(-1), '1 = 00000000')
})

test('golden nft-generation-get: the question has no family of its own', async (t) => {
  agrees(t, {
    golden: 'nft-generation-get',
    ours: getGeneration(),
    shape: nftShape,
    but: {
      why: 'NFT_MSG_GETGEN does not look at the family',
      ours: ['head 01000000'],
      theirs: ['head 00000000'],
    },
  })
})

test("decodeGeneration reads the kernel's answer", async (t) => {
  const [reply] = decodeReplies(readGolden('reply-generation'))
  const found = reply?.kind === 'message' ? decodeGeneration(reply.message) : undefined
  // three changes went before: a new namespace is at 1
  t.equal(found, 3)
})

const generation = (body: string, type = 0xa0f) => ({ type, flags: 0, body: bytes(body) })
for (const row of [
  {
    why: 'the sign bit is a bit',
    query: generation('00000000 08000100 ffffffff'),
    want: 0xffff_ffff,
  },
  { why: 'generation 0', query: generation('00000000 08000100 00000000'), want: 0 },
  {
    why: 'another message',
    query: generation('00000000 08000100 00000001', 0xa03),
    want: undefined,
  },
  {
    why: 'the same number of another subsystem',
    query: generation('00000000 08000100 00000001', 0x20f),
    want: undefined,
  },
  { why: 'no number', query: generation('00000000'), want: undefined },
])
  test(`decodeGeneration: ${row.why}`, async (t) => {
    t.equal(decodeGeneration(row.query), row.want)
  })

for (const body of [
  '',
  '00',
  '000000',
  '00000000 08',
  '00000000 08000100 0000',
  '00000000 07000100 000000 00',
])
  test(`decodeGeneration refuses "${body}"`, async (t) => {
    t.throws(() => decodeGeneration(generation(body)), ShapeError)
  })

test('readNft passes the header over', async (t) => {
  t.strictSame([...readNft(bytes('01000000 05000200 aa000000')).keys()], [2])
  t.throws(() => readNft(bytes('010000')), ShapeError)
})

// libnftnl: a TLV of one byte each for type and length, the length with the text's NUL
for (const row of [
  { why: 'short text', comment: 'a', want: '0002 6100' },
  { why: 'empty text', comment: '', want: '0001 00' },
  { why: 'UTF-8 counts in bytes', comment: 'ø', want: '0003 c3b800' },
  { why: '127 bytes, the longest', comment: 'x'.repeat(127), want: `0080 ${'78'.repeat(127)} 00` },
  { why: '128 bytes are cut', comment: 'x'.repeat(128), want: `0080 ${'78'.repeat(127)} 00` },
  {
    why: '300 bytes are cut: the length is a byte',
    comment: 'x'.repeat(300),
    want: `0080 ${'78'.repeat(127)} 00`,
  },
])
  test(`commentData: ${row.why}`, async (t) => {
    const payload = readAttributes(commentData(6, row.comment)).get(6)
    t.equal(payload && Buffer.from(payload).toString('hex'), row.want.replaceAll(' ', ''))
  })

test('cutComment is what the kernel shows: readComment of commentData', async (t) => {
  const comment = fc.string({ unit: 'binary', maxLength: 200 }).filter((one) => {
    const readable = !one.includes('\0') && !one.startsWith('\ufeff')
    return one.length > 0 && one.isWellFormed() && readable
  })
  const law = fc.property(
    fc.oneof(
      comment,
      comment.map((one) => one.repeat(9)),
    ),
    (one) => {
      const payload = readAttributes(commentData(6, one)).get(6)
      return payload !== undefined && readComment(payload) === cutComment(one)
    },
  )
  holds(t, law)
  t.equal(cutComment('x'.repeat(127)), 'x'.repeat(127))
  t.equal(cutComment('x'.repeat(128)), 'x'.repeat(127))
})

test('readComment undoes commentData up to 127 bytes', async (t) => {
  const comment = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((one) => {
    const length = Buffer.byteLength(one)
    return length > 0 && length <= 127 && one.isWellFormed() && !one.startsWith('\ufeff')
  })
  const law = fc.property(comment, (one) => {
    const payload = readAttributes(commentData(7, one)).get(7)
    return payload !== undefined && readComment(payload) === one
  })
  holds(t, law)
})

for (const row of [
  { why: 'a comment, then other data', payload: '0003 6f6e00 0104 00000000', want: 'on' },
  { why: 'no data', payload: '', want: undefined },
  { why: 'a type alone', payload: '00', want: undefined },
  { why: 'no text', payload: '0000', want: undefined },
  { why: 'data of another type', payload: '0104 00000000', want: undefined },
])
  test(`readComment: ${row.why}`, async (t) => {
    t.equal(readComment(bytes(row.payload)), row.want)
  })
