import fc from 'fast-check'
import { test } from 'tap'
import { parsePrefix } from '../../../src/base/prefix.ts'
import { decodeReplies } from '../../../src/wire/netlink/message.ts'
import {
  decodeFilter,
  deleteFilters,
  dumpFilters,
  type Match,
  newFilter,
  selectorText,
} from '../../../src/wire/rtnl/filter.ts'
import { holds } from '../../base/law.ts'
import { agrees, type GoldenRow, readGolden, titleOf, trafficShape } from '../golden.ts'
import { link } from '../values.ts'

const host0 = link(3)
const ifb0 = link(5)
const match = (at: Match['at'], text: string): Match => {
  const prefix = parsePrefix(text)
  if (!prefix) throw new Error(`Cannot read ${text}`)
  return { at, prefix }
}
const place = { link: host0, hook: 'ingress', preference: 61003 } as const

const unflagged = { why: 'tc does not set NLA_F_NESTED here' }

const rows: readonly Omit<GoldenRow, 'shape'>[] = [
  {
    golden: 'filter-add-redirect',
    ours: newFilter({ ...place, protocol: 'all', match: null, redirectTo: ifb0 }),
    but: unflagged,
  },
  {
    golden: 'filter-add-v4',
    ours: newFilter({
      ...place,
      protocol: 'ip',
      match: match('source', '10.16.0.0/12'),
      redirectTo: ifb0,
    }),
    but: unflagged,
  },
  {
    golden: 'filter-add-v6',
    ours: newFilter({
      ...place,
      protocol: 'ipv6',
      match: match('destination', 'fd00:77::/44'),
      redirectTo: null,
    }),
    but: {
      why: 'a packet that goes on needs no class; tc wants one for a filter without action',
      theirs: ['2/1 = 01000000'],
    },
  },
  {
    golden: 'filter-delete',
    ours: deleteFilters({ link: host0, hook: 'egress', preference: 61002, protocol: 'ipv6' }),
  },
  { golden: 'filter-dump', ours: dumpFilters(host0, 'ingress') },
]
for (const row of rows)
  test(titleOf(row), async (t) => {
    agrees(t, { ...row, shape: trafficShape })
  })

test('decodeFilter reads what the kernel says', async (t) => {
  const found = decodeReplies(readGolden('reply-filters')).flatMap((reply) =>
    reply.kind === 'message' ? [decodeFilter(reply.message.body)] : [],
  )
  const whole = found.filter(({ selector }) => selector !== undefined)
  t.strictSame(whole, [
    {
      preference: 61001,
      kind: 'u32',
      selector: selectorText(match('destination', '10.0.0.0/8')),
      redirectTo: null,
    },
    { preference: 61003, kind: 'u32', selector: selectorText(null), redirectTo: ifb0 },
  ])
  t.ok(found.length > whole.length, 'hash tables, which match nothing, are listed too')
})

const anyPrefix = fc
  .oneof(
    fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 })),
    fc.tuple(fc.ipV6(), fc.integer({ min: 0, max: 128 })),
  )
  .map(([address, bits]) => `${address}/${bits}`)
  .filter((text) => parsePrefix(text) !== undefined)
const anyFilter = fc.record({
  match: fc.option(
    fc
      .tuple(fc.constantFrom('source', 'destination'), anyPrefix)
      .map(([at, text]) => match(at as Match['at'], text)),
  ),
  preference: fc.integer({ min: 1, max: 0xffff }),
  redirectTo: fc.option(fc.integer({ min: 1, max: 0x7fff_ffff }).map(link)),
})

test('every filter is read as it was written', async (t) =>
  holds(
    t,
    fc.property(anyFilter, (one) => {
      const filter = newFilter({ link: host0, hook: 'egress', protocol: 'all', ...one })
      const { match: wanted, preference, redirectTo } = one
      const selector = selectorText(wanted)
      t.strictSame(decodeFilter(filter.body), { preference, kind: 'u32', selector, redirectTo })
      return true
    }),
  ))
