import { test } from 'tap'
import {
  type Expression,
  equals,
  lookup,
  mask,
  masquerade,
  meta,
  payload,
  register,
  type Verdict,
  verdict,
  verdictMap,
} from '../../src/wire/nft/expression.ts'
import { decodeGeneration, getGeneration, nftBatch } from '../../src/wire/nft/message.ts'
import { newSet } from '../../src/wire/nft/set.ts'
import {
  decodeRule,
  deleteChain,
  deleteTable,
  dumpRules,
  flushChain,
  newChain,
  newRule,
  newTable,
} from '../../src/wire/nft/table.ts'
import { bytes } from '../wire/values.ts'
import { type Room, refusalOf, runNft, withRoom } from './sockets.ts'

const inet = { family: 'inet', table: 'tulle' } as const
const bridge = { family: 'bridge', table: 'tulle' } as const
const chain = (name: string) => ({ ...inet, chain: name })
const guard = { type: 'filter', hook: 'prerouting', priority: -300 } as const
const nat = { type: 'nat', hook: 'postrouting', priority: 100 } as const

const makeTable = ({ commit }: Room): readonly string[] =>
  commit(
    newTable(inet),
    newSet({ ...inet, set: 'names', key: ['ifname'], verdicts: false, id: 1 }),
    newSet({ ...inet, set: 'guarded', key: ['ifname'], verdicts: true, id: 2 }),
    newChain(chain('target')),
    newChain(chain('plain')),
    newChain({ ...chain('prerouting'), ...guard }),
    newChain({ ...chain('postrouting'), ...nat }),
  )

const json = (room: Room): readonly Record<string, Record<string, unknown>>[] =>
  (JSON.parse(runNft(room.netns, '-j', 'list', 'ruleset')) as { nftables: [] }).nftables
const namesOf = (room: Room, kind: string): readonly unknown[] =>
  json(room).flatMap((one) => (one[kind] ? [one[kind].name ?? one[kind].comment] : []))
const rulesOf = ({ nft }: Room): readonly string[] =>
  nft.ask('list', dumpRules(inet)).map(({ body }) => {
    const rule = decodeRule(body)
    return `${rule.table} ${rule.chain}: ${rule.comment}`
  })

test('newTable, newChain: `nft -j list` reads families, hooks, types, priorities', (t) =>
  withRoom((room) => {
    t.strictSame(makeTable(room), [])
    room.commit(newTable(bridge), newChain({ ...bridge, chain: 'prerouting', ...guard }))
    const tables = json(room).flatMap(({ table }) =>
      table ? [`${table.family} ${table.name}`] : [],
    )
    t.strictSame(tables, ['inet tulle', 'bridge tulle'])
    const chains = json(room).flatMap(({ chain: one }) =>
      one ? [`${one.family} ${one.name} ${one.type} ${one.hook} ${one.prio} ${one.policy}`] : [],
    )
    t.strictSame(chains, [
      'inet target undefined undefined undefined undefined',
      'inet plain undefined undefined undefined undefined',
      'inet prerouting filter prerouting -300 accept',
      'inet postrouting nat postrouting 100 accept',
      'bridge prerouting filter prerouting -300 accept',
    ])
  }))

const word = register
/** A rule, and the code that `nft --debug=netlink` lists for it: reg 1 is word 0, reg 2 word 4. */
const rules: readonly { in: string; does: readonly Expression[]; code: readonly string[] }[] = [
  {
    in: 'plain',
    does: [meta('protocol', word(0)), equals(word(0), bytes('0800')), verdict('accept')],
    code: ['meta load protocol => reg 1', 'cmp eq reg 1 0x00000008', 'immediate reg 0 accept'],
  },
  {
    in: 'plain',
    does: [meta('nfproto', word(0)), equals(word(0), bytes('0a')), verdict('return')],
    code: ['meta load nfproto => reg 1', 'cmp eq reg 1 0x0000000a', 'immediate reg 0 return'],
  },
  {
    in: 'plain',
    does: [meta('l4proto', word(0)), equals(word(0), bytes('06')), verdict({ jump: 'target' })],
    code: [
      'meta load l4proto => reg 1',
      'cmp eq reg 1 0x00000006',
      'immediate reg 0 jump -> target',
    ],
  },
  {
    in: 'prerouting',
    does: [meta('iifname', word(0)), lookup('names', word(0)), verdict('drop')],
    code: ['meta load iifname => reg 1', 'lookup reg 1 set names 0x0', 'immediate reg 0 drop'],
  },
  {
    in: 'prerouting',
    does: [meta('iifname', word(0)), verdictMap('guarded', word(0))],
    code: ['meta load iifname => reg 1', 'lookup reg 1 set guarded dreg 0 0x0'],
  },
  {
    in: 'plain',
    does: [payload({ base: 'link', offset: 6, length: 6 }, word(4)), verdict('accept')],
    code: ['payload load 6b @ link header + 6 => reg 2', 'immediate reg 0 accept'],
  },
  {
    in: 'plain',
    does: [payload({ base: 'transport', offset: 2, length: 2 }, word(6)), verdict('accept')],
    code: ['payload load 2b @ transport header + 2 => reg 14', 'immediate reg 0 accept'],
  },
  {
    in: 'plain',
    does: [
      payload({ base: 'network', offset: 16, length: 4 }, word(0)),
      mask(word(0), bytes('f0000000')),
      equals(word(0), bytes('e0000000')),
      verdict('return'),
    ],
    code: [
      'payload load 4b @ network header + 16 => reg 1',
      'bitwise reg 1 = ( reg 1 & 0x000000f0 ) ^ 0x00000000',
      'cmp eq reg 1 0x000000e0',
      'immediate reg 0 return',
    ],
  },
  { in: 'postrouting', does: [masquerade()], code: ['masq flags 0x10'] },
]

test('newRule: the code that `nft --debug=netlink` lists is the code that was sent', (t) =>
  withRoom((room) => {
    makeTable(room)
    for (const rule of rules) {
      const name = chain(rule.in)
      room.commit(flushChain(name))
      const made = newRule(name, { comment: 'x', expressions: rule.does })
      t.strictSame(room.commit(made), [])
      const listed = runNft(
        room.netns,
        '--debug=netlink',
        'list',
        'chain',
        'inet',
        'tulle',
        rule.in,
      )
      const code = [...listed.matchAll(/^ {2}\[ (.*) \]$/gm)].map((found) =>
        (found[1] ?? '').replace(/ +/g, ' ').trim(),
      )
      t.strictSame(code, rule.code)
    }
  }))

test('rules stay in the order in which they were sent, each with its comment', (t) =>
  withRoom((room) => {
    makeTable(room)
    const comments = ['one', 'two', 'three "quoted"', 'pøđ', 'z'.repeat(127)]
    const made = comments.map((comment) =>
      newRule(chain('plain'), { comment, expressions: [verdict('accept')] }),
    )
    t.strictSame(room.commit(...made), [])
    t.strictSame(namesOf(room, 'rule'), comments)
    t.strictSame(
      rulesOf(room),
      comments.map((comment) => `tulle plain: ${comment}`),
    )
  }))

test('decodeRule reads what `nft` made, of one table alone', (t) =>
  withRoom((room) => {
    makeTable(room)
    runNft(room.netns, 'add', 'table', 'inet', 'other')
    runNft(room.netns, 'add', 'chain', 'inet', 'other', 'plain')
    runNft(room.netns, 'add', 'rule', 'inet', 'other', 'plain', 'drop', 'comment', '"not ours"')
    const long = 'w'.repeat(128)
    runNft(room.netns, 'add', 'rule', 'inet', 'tulle', 'plain', 'drop', 'comment', `"${long}"`)
    runNft(room.netns, 'add', 'rule', 'inet', 'tulle', 'plain', 'accept')
    runNft(room.netns, 'insert', 'rule', 'inet', 'tulle', 'plain', 'drop', 'comment', '"first"')
    t.strictSame(rulesOf(room), [
      'tulle plain: first',
      `tulle plain: ${long}`,
      'tulle plain: undefined',
    ])
  }))

const refusals: readonly { why: string; does: readonly Expression[]; in: string; errno: number }[] =
  [
    {
      why: 'a set that is not there',
      in: 'plain',
      does: [meta('iifname', word(0)), lookup('nosuch', word(0))],
      errno: 2,
    },
    {
      why: 'a chain that is not there',
      in: 'plain',
      does: [verdict({ jump: 'nosuch' })],
      errno: 2,
    },
    {
      why: 'a jump into a chain with a hook',
      in: 'plain',
      does: [verdict({ jump: 'prerouting' })],
      errno: 95,
    },
    {
      why: 'a verdict map looked up as a set: no verdict',
      in: 'plain',
      does: [meta('iifname', word(0)), verdictMap('names', word(0))],
      errno: 22,
    },
    { why: 'masquerade outside nat', in: 'prerouting', does: [masquerade()], errno: 95 },
    {
      why: 'a register that nothing was loaded into',
      in: 'plain',
      does: [equals(word(3), bytes('00'))],
      errno: 61,
    },
    {
      why: 'a chain of its own that is not there',
      in: 'nosuch',
      does: [verdict('drop')],
      errno: 2,
    },
  ]
for (const row of refusals)
  test(`newRule is refused: ${row.why}`, (t) =>
    withRoom((room) => {
      makeTable(room)
      const before = runNft(room.netns, 'list', 'ruleset')
      const made = newRule(chain(row.in), { comment: 'x', expressions: row.does })
      const [refusal] = room.commit(made)
      t.match(refusal, new RegExp(`: errno ${row.errno}$`))
      t.equal(runNft(room.netns, 'list', 'ruleset'), before)
    }))

test('a table that is there is refused whole; deleteTable takes all of it', (t) =>
  withRoom((room) => {
    makeTable(room)
    const before = runNft(room.netns, 'list', 'ruleset')
    t.ok(makeTable(room).includes('message 1: errno 17'))
    t.equal(runNft(room.netns, 'list', 'ruleset'), before)
    t.strictSame(room.commit(deleteTable(inet)), [])
    t.equal(runNft(room.netns, 'list', 'ruleset'), '')
    t.strictSame(room.commit(deleteTable(inet)), ['message 1: errno 2'])
    t.match(refusalOf(() => rulesOf(room)) ?? 'none', 'none', 'a table that is gone has no rules')
  }))

const jumpTo = (name: string): Verdict => ({ jump: name })
test('deleteChain waits until nobody jumps there (EBUSY); flushChain empties one chain', (t) =>
  withRoom((room) => {
    makeTable(room)
    const jumping = newRule(chain('plain'), {
      comment: 'x',
      expressions: [verdict(jumpTo('target'))],
    })
    const inTarget = newRule(chain('target'), { comment: 'y', expressions: [verdict('drop')] })
    room.commit(jumping, inTarget)
    t.strictSame(room.commit(flushChain(chain('target')), deleteChain(chain('target'))), [
      'message 2: errno 16',
    ])
    t.strictSame(rulesOf(room), ['tulle target: y', 'tulle plain: x'], 'and nothing was flushed')
    t.strictSame(room.commit(flushChain(chain('plain'))), [])
    t.strictSame(rulesOf(room), ['tulle target: y'])
    t.strictSame(room.commit(flushChain(chain('target')), deleteChain(chain('target'))), [])
    t.notOk(namesOf(room, 'chain').includes('target'))
  }))

test('the generation grows with every batch, and a batch of another one is refused', (t) =>
  withRoom((room) => {
    const generation = (): number => {
      const [answer] = room.nft.ask('generation', getGeneration())
      return (answer && decodeGeneration(answer)) ?? -1
    }
    const first = generation()
    makeTable(room)
    t.equal(generation(), first + 1)
    runNft(room.netns, 'add', 'table', 'inet', 'other')
    t.equal(generation(), first + 2)
    const stale = room.nft.commitBatch(nftBatch([deleteTable(inet)], first + 1))
    t.match(stale, [{ at: 0, errno: 85 }], 'ERESTART, for the head of the batch')
    t.ok(runNft(room.netns, 'list', 'tables').includes('table inet tulle'))
    t.strictSame(room.nft.commitBatch(nftBatch([deleteTable(inet)], first + 2)), [])
    t.equal(generation(), first + 3)
  }))
