import { test } from 'tap'
import { attribute, text } from '../../../src/wire/netlink/attribute.ts'
import { decodeReplies } from '../../../src/wire/netlink/message.ts'
import {
  connectionLabels,
  dataMap,
  destinationNat,
  destinationType,
  differs,
  equals,
  immediate,
  labelConnection,
  lookup,
  mask,
  masquerade,
  meta,
  payload,
  register,
  verdict,
  verdictMap,
} from '../../../src/wire/nft/expression.ts'
import { commentData, nftBatch } from '../../../src/wire/nft/message.ts'
import {
  decodeChainUses,
  decodeRule,
  deleteChain,
  deleteTable,
  dumpRules,
  flushChain,
  getChain,
  newChain,
  newRule,
  newTable,
} from '../../../src/wire/nft/table.ts'
import { agrees, type GoldenRow, linesOf, nftShape, readGolden, titleOf } from '../golden.ts'
import { bytes } from '../values.ts'
import { readRegisters } from './registers.ts'

const inet = { family: 'inet', table: 'tulle' } as const
const bridge = { family: 'bridge', table: 'tulle' } as const
const chain = (name: string) => ({ ...inet, chain: name })

const hookFirst = 'libnftnl says the type before the hook'
const dataFirst = 'libnftnl has its own order inside expressions, and NFT_REG_1 for NFT_REG32_00'
const setId = (place: string, id: number) => ({
  why: `${dataFirst}; it names sets that the same batch makes by number too`,
  theirs: [`${place} = ${id.toString(16).padStart(8, '0')}`],
})
const guard = { ...bridge, chain: 'prerouting' }
const word = register
const isFrom = (type: string) => [meta('protocol', word(0)), equals(word(0), bytes(type))]
const nfproto = (family: string) => [meta('nfproto', word(0)), equals(word(0), bytes(family))]
const etherSource = payload({ base: 'link', offset: 6, length: 6 }, word(4))
const ipv6Source = payload({ base: 'network', offset: 8, length: 16 }, word(0))

const label = bytes(`${'00'.repeat(15)}80`)

const rows: readonly Omit<GoldenRow, 'shape'>[] = [
  {
    golden: 'nft-table-inet',
    at: 1,
    ours: newTable(inet),
    but: {
      why: 'nft names no flags of a table; a table is made with or without NLM_F_CREATE',
      ours: ['flags 601'],
      theirs: ['2 = 00000000', 'flags 201'],
    },
  },
  {
    golden: 'nft-table-bridge',
    at: 1,
    ours: newTable(bridge),
    but: { why: 'the same', ours: ['flags 601'], theirs: ['2 = 00000000', 'flags 201'] },
  },
  { golden: 'nft-table-inet', at: 6, ours: newChain(chain('own-address')) },
  {
    golden: 'nft-table-inet',
    at: 8,
    ours: newChain({ ...chain('prerouting'), type: 'filter', hook: 'prerouting', priority: -300 }),
    but: { why: hookFirst },
  },
  {
    golden: 'nft-table-inet',
    at: 9,
    ours: newChain({ ...chain('postrouting'), type: 'nat', hook: 'postrouting', priority: 100 }),
    but: { why: hookFirst },
  },
  {
    golden: 'nft-table-inet',
    at: 10,
    ours: newRule(chain('prerouting'), {
      comment: 'anything else',
      expressions: [meta('iifname', word(0)), verdictMap('guarded', word(0))],
    }),
    but: setId('4/1:2/2/4', 3),
  },
  {
    golden: 'nft-table-inet',
    at: 11,
    ours: newRule(chain('prerouting'), {
      comment: 'a jump',
      expressions: [
        meta('l4proto', word(0)),
        equals(word(0), bytes('06')),
        verdict({ jump: 'own-address' }),
      ],
    }),
    but: { why: dataFirst },
  },
  {
    golden: 'nft-table-inet',
    at: 12,
    ours: newRule(chain('own-address'), {
      comment: 'link-local',
      expressions: [
        ...nfproto('0a'),
        ipv6Source,
        mask(word(0), bytes(`ffc0${'00'.repeat(14)}`)),
        equals(word(0), bytes(`fe80${'00'.repeat(14)}`)),
        verdict('accept'),
      ],
    }),
    but: { why: dataFirst },
  },
  {
    golden: 'nft-table-inet',
    at: 13,
    ours: newRule(chain('own-address'), {
      comment: 'not its own',
      expressions: [verdict('drop')],
    }),
  },
  {
    golden: 'nft-table-inet',
    at: 14,
    ours: newRule(chain('postrouting'), {
      comment: 'pods',
      expressions: [
        ...nfproto('02'),
        payload({ base: 'network', offset: 12, length: 4 }, word(0)),
        verdictMap('masquerade4', word(0)),
      ],
    }),
    but: setId('4/1:4/2/4', 4),
  },
  {
    golden: 'nft-table-inet',
    at: 15,
    ours: newRule(chain('masquerade-1'), {
      comment: 'multicast',
      expressions: [
        ...nfproto('02'),
        payload({ base: 'network', offset: 16, length: 4 }, word(0)),
        mask(word(0), bytes('f0000000')),
        equals(word(0), bytes('e0000000')),
        verdict('return'),
      ],
    }),
    but: { why: dataFirst },
  },
  {
    golden: 'nft-table-inet',
    at: 16,
    ours: newRule(chain('masquerade-1'), { comment: 'the rest', expressions: [masquerade()] }),
  },
  {
    golden: 'nft-table-ports',
    at: 4,
    ours: newChain({ ...chain('out'), type: 'nat', hook: 'output', priority: -90 }),
    but: { why: hookFirst },
  },
  {
    golden: 'nft-table-ports',
    at: 5,
    ours: newRule(chain('out'), {
      comment: 'local',
      expressions: [
        destinationType(word(0)),
        equals(word(0), bytes('02000000')),
        verdict({ jump: 'ports' }),
      ],
    }),
    but: { why: dataFirst },
  },
  {
    golden: 'nft-table-ports',
    at: 6,
    ours: newRule(chain('ports'), {
      comment: 'dnat',
      expressions: [
        ...nfproto('02'),
        meta('l4proto', word(0)),
        payload({ base: 'transport', offset: 2, length: 2 }, word(1)),
        dataMap('hostport4', word(0), word(0)),
        destinationNat(4, { address: word(0), port: word(1) }),
      ],
    }),
    but: setId('4/1:5/2/4', 1),
  },
  {
    golden: 'nft-table-ports',
    at: 7,
    ours: newRule(chain('ports'), {
      comment: 'set',
      expressions: [immediate(word(0), label), labelConnection(word(0))],
    }),
    but: { why: dataFirst },
  },
  {
    golden: 'nft-table-ports',
    at: 8,
    ours: newRule(chain('ports'), {
      comment: 'is set',
      expressions: [
        connectionLabels(word(0)),
        mask(word(0), label),
        differs(word(0), new Uint8Array(16)),
        verdict('return'),
      ],
    }),
    but: { why: dataFirst },
  },
  {
    golden: 'nft-table-ports',
    at: 9,
    ours: newRule(chain('ports'), {
      comment: 'not lo',
      expressions: [
        meta('oifname', word(0)),
        differs(word(0), bytes(`6c6f${'00'.repeat(14)}`)),
        verdict('drop'),
      ],
    }),
    but: { why: dataFirst },
  },
  {
    golden: 'nft-table-bridge',
    at: 5,
    ours: newRule(guard, {
      comment: 'IPv4',
      expressions: [
        ...isFrom('0800'),
        meta('iifname', word(0)),
        etherSource,
        payload({ base: 'network', offset: 12, length: 4 }, word(6)),
        lookup('source4', word(0)),
        verdict('accept'),
      ],
    }),
    but: setId('4/1:6/2/4', 2),
  },
  {
    golden: 'nft-table-bridge',
    at: 6,
    ours: newRule(guard, {
      comment: 'DAD',
      expressions: [
        ...isFrom('86dd'),
        ipv6Source,
        equals(word(0), new Uint8Array(16)),
        meta('iifname', word(0)),
        etherSource,
        lookup('mac', word(0)),
        verdict('accept'),
      ],
    }),
    but: setId('4/1:7/2/4', 1),
  },
  {
    golden: 'nft-table-bridge',
    at: 7,
    ours: newRule(guard, {
      comment: 'probe',
      expressions: [
        ...isFrom('0806'),
        payload({ base: 'network', offset: 14, length: 4 }, word(0)),
        equals(word(0), new Uint8Array(4)),
        verdict('accept'),
      ],
    }),
    but: { why: dataFirst },
  },
  { golden: 'nft-chain-flush', at: 1, ours: flushChain(chain('own-address')) },
  { golden: 'nft-chain-delete', at: 1, ours: deleteChain(chain('spare')) },
  {
    golden: 'nft-chain-get',
    ours: getChain(chain('own-address')),
    but: { why: 'nft asks for an acknowledgement', ours: ['flags 1'], theirs: ['flags 5'] },
  },
  { golden: 'nft-table-delete', at: 1, ours: deleteTable(inet) },
  { golden: 'nft-rule-dump', ours: dumpRules(inet) },
]
for (const row of rows)
  test(titleOf(row), async (t) => {
    agrees(t, { ...row, shape: nftShape, reading: readRegisters })
  })

test('a batch of ours begins and ends as one of nft does', async (t) => {
  const batch = nftBatch([deleteTable(inet)])
  const ends = [batch[0], batch.at(-1)]
  for (const [at, ours] of ends.entries())
    if (ours) agrees(t, { golden: 'nft-table-delete', at: at * 2, ours, shape: nftShape })
  t.equal(batch.length, 3)
})

test('decodeChainUses reads what the kernel says of a chain', async (t) => {
  const [reply] = decodeReplies(readGolden('reply-chain'))
  // two rules of its own, a rule that jumps there, an element that does
  t.equal(reply?.kind === 'message' && decodeChainUses(reply.message.body), 4)
})

test('decodeChainUses of a message without a count is 0', async (t) => {
  t.equal(decodeChainUses(bytes('01000000')), 0)
})

test('decodeRule reads what the kernel lists, in its order', async (t) => {
  const found = decodeReplies(readGolden('reply-rules')).flatMap((reply) =>
    reply.kind === 'message' ? [decodeRule(reply.message.body)] : [],
  )
  t.strictSame(
    found.map((rule) => `${rule.table} ${rule.chain}: ${rule.comment}`),
    [
      'tulle own-address: link-local',
      'tulle own-address: not its own',
      'tulle masquerade-1: multicast',
      'tulle masquerade-1: the rest',
      'tulle prerouting: anything else',
      'tulle prerouting: a jump',
      'tulle postrouting: pods',
    ],
  )
})

const head = bytes('01000000')
const names = [text(1, 'tulle'), text(2, 'guard')]
for (const row of [
  { why: 'a rule without a comment', parts: [head, ...names], want: undefined },
  { why: 'a comment', parts: [head, ...names, commentData(7, 'mine')], want: 'mine' },
  {
    why: 'user data of another kind (NFTNL_UDATA_RULE_EBTABLES_POLICY)',
    parts: [head, ...names, attribute(7, bytes('0104 00000000'))],
    want: undefined,
  },
  {
    why: 'the last of two',
    parts: [head, ...names, commentData(7, 'a'), commentData(7, 'b')],
    want: 'b',
  },
])
  test(`decodeRule: ${row.why}`, async (t) => {
    t.strictSame(decodeRule(Buffer.concat(row.parts)), {
      table: 'tulle',
      chain: 'guard',
      comment: row.want,
    })
  })

test('decodeRule of a header alone names nothing', async (t) => {
  t.strictSame(decodeRule(head), { table: '', chain: '', comment: undefined })
})

test('newRule with the comment of a rule comes back through decodeRule', async (t) => {
  const { type, flags, body } = newRule(chain('guard'), { comment: 'pøđ', expressions: [] })
  t.match(decodeRule(body), { table: 'tulle', chain: 'guard', comment: 'pøđ' })
  const lines = linesOf({ type, flags, body: Buffer.from(body) }, nftShape)
  t.equal(lines[1], 'flags c01', 'REQUEST, CREATE, APPEND')
})
