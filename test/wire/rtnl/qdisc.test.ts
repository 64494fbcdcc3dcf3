import fc from 'fast-check'
import { test } from 'tap'
import { decodeReplies } from '../../../src/wire/netlink/message.ts'
import {
  decodeQdisc,
  deleteClsact,
  deleteRootQdisc,
  dumpQdiscs,
  newClsact,
  newTokenBucket,
  type TokenBucket,
  ticksOf,
} from '../../../src/wire/rtnl/qdisc.ts'
import { holds } from '../../base/law.ts'
import { agrees, type GoldenRow, qdiscShape, readGolden, titleOf } from '../golden.ts'
import { link } from '../values.ts'

const host0 = link(3)
const handle = 0x74750000
const slow = { rateBytes: 2_500_000, burstBytes: 25_000, limitBytes: 62_500 }
// tc's "mb" is a binary one
const fast = { rateBytes: 5_000_000_000, burstBytes: 50 << 20, limitBytes: 125 << 20 }
const peaked = {
  rateBytes: 625_000,
  burstBytes: 625_000,
  limitBytes: 15_625,
  peak: { rateBytes: 1_250_000_000, packetBytes: 3750 },
}

/**
 * struct tc_tbf_qopt in words: two rates of three words each, whose first two tell how their table
 * of times is made; then limit, buffer and mtu.
 */
function withoutTables(lines: readonly string[]): readonly string[] {
  return lines
    .filter((line) => !/^2\/[23] = /.test(line))
    .map((line) => {
      const [, words] = /^2\/1 = (.*)$/.exec(line) ?? []
      const at = (word: number): string => words?.slice(word * 8, word * 8 + 8) ?? ''
      return words === undefined ? line : `2/1 = ${[2, 5, 6, 7, 8].map(at).join(' ')}`
    })
}
const but = {
  why: 'the kernel reckons with Ethernet frames by itself; tc sends it a table of times as well',
}

const rows: readonly Omit<GoldenRow, 'shape'>[] = [
  {
    golden: 'qdisc-add-tbf',
    ours: newTokenBucket({ link: host0, handle, ...slow }),
    reading: withoutTables,
    but,
  },
  {
    golden: 'qdisc-add-tbf-fast',
    ours: newTokenBucket({ link: host0, handle, ...fast }),
    reading: withoutTables,
    but: {
      why: `${but.why}; its buffer is of a rate cut to 32 bits, TCA_TBF_BURST wins`,
      ours: ['2/1 = ffffffff 00000000 0000d007 00800200 00000000'],
      theirs: ['2/1 = ffffffff 00000000 0000d007 0ee90200 00000000'],
    },
  },
  {
    golden: 'qdisc-add-tbf-peak',
    ours: newTokenBucket({ link: host0, handle, ...peaked }),
    reading: withoutTables,
    but,
  },
  { golden: 'qdisc-add-clsact', ours: newClsact(host0) },
  { golden: 'qdisc-delete-root', ours: deleteRootQdisc(host0, handle) },
  {
    golden: 'qdisc-delete-clsact',
    ours: deleteClsact(host0),
    but: {
      why: 'tc names the kind; without it an ingress would be removed as well, and is the same',
      theirs: ['1 = 636c7361637400'],
    },
  },
  { golden: 'qdisc-dump', ours: dumpQdiscs() },
]
for (const row of rows)
  test(titleOf(row), async (t) => {
    agrees(t, { ...row, shape: qdiscShape })
  })

test('decodeQdisc reads what the kernel says', async (t) => {
  const found = decodeReplies(readGolden('reply-qdiscs')).flatMap((reply) =>
    reply.kind === 'message' ? [decodeQdisc(reply.message.body)] : [],
  )
  const of = (kind: string) => found.find((one) => one.kind === kind)
  const rateBytes = 5_000_000_000
  const ticks = ticksOf(1 << 20, rateBytes)
  t.match(of('tbf'), {
    link: 5,
    handle,
    parent: 0xffffffff,
    bucket: { rateBytes, limitBytes: 2 << 20, ticks },
  })
  t.match(of('clsact'), { link: 3, handle: 0xffff0000, parent: 0xfffffff1, bucket: undefined })
})

const anyBucket: fc.Arbitrary<TokenBucket> = fc.record({
  rateBytes: fc.integer({ min: 1, max: 125e12 }),
  burstBytes: fc.integer({ min: 1, max: 0xffffffff }),
  limitBytes: fc.integer({ min: 1, max: 0xffffffff }),
})

test('every bucket is read as it was written', async (t) => {
  const property = fc.property(anyBucket, ({ rateBytes, burstBytes, limitBytes }) => {
    const query = newTokenBucket({ link: host0, handle, rateBytes, burstBytes, limitBytes })
    const { bucket, kind } = decodeQdisc(query.body)
    const ticks = ticksOf(burstBytes, rateBytes)
    t.strictSame(bucket, { rateBytes, limitBytes, ticks })
    return kind === 'tbf'
  })
  return holds(t, property)
})
