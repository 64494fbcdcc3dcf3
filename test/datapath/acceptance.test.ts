import { test } from 'tap'
import {
  acceptedLinks,
  acceptRules,
  fateIn,
  forwardChains,
  isAcceptRule,
  linksOfRule,
  printLinks,
} from '../../src/datapath/acceptance.ts'
import type { Extras } from '../../src/datapath/extras.ts'
import type { Effect, ForeignRule } from '../../src/wire/nft/foreign.ts'

const extras = (more: Partial<Extras>): Extras => ({
  network: 'net',
  container: 'c1',
  ifname: 'eth0',
  plugin: 'tulle',
  ips: ['10.1.0.5'],
  hostLink: 'tul0123456789a',
  bridge: null,
  hostPorts: null,
  shaping: null,
  tuning: null,
  isolation: null,
  isAccepted: true,
  ...more,
})
const ruleOf = (effect: Effect, at: number): ForeignRule => ({
  handle: BigInt(at),
  comment: undefined,
  effect,
})

for (const { why, more, want } of [
  { why: 'our host ends share a beginning', more: {}, want: 'tul+' },
  { why: 'a bridge', more: { bridge: 'cni0' }, want: 'cni0' },
  { why: 'a bridge whose name begins as our links', more: { bridge: 'tul0' }, want: 'tul0' },
  { why: "another plugin's host end", more: { hostLink: 'veth12ab' }, want: 'veth12ab' },
  { why: 'no link on this host', more: { hostLink: null }, want: undefined },
])
  test(`links: ${why}`, async (t) => {
    const links = acceptedLinks(extras(more))
    t.equal(links ? printLinks(links) : undefined, want)
  })

for (const { plugin, at, want } of [
  { plugin: 'tulle', at: 0, want: ['from pods', 'to pods'] },
  { plugin: 'tulle', at: 2, want: ['from pods', 'to pods'] },
  { plugin: 'firewall', at: 0, want: ['from pods', 'replies to pods', 'host ports of pods'] },
  { plugin: 'firewall', at: 1, want: ['from pods', 'replies to pods', 'host ports of pods'] },
  { plugin: 'firewall', at: 2, want: ['from pods'] },
] as const)
  test(`rules of ${plugin} in chain ${at}`, async (t) => {
    const chain = forwardChains[at]
    if (!chain) throw new Error('no chain')
    for (const bridge of ['cni0', null]) {
      const wanted = extras({ plugin, bridge })
      const rules = acceptRules(wanted, 'abcd0123', chain)
      const shown = bridge ?? 'tul+'
      t.strictSame(
        rules.map(({ comment }) => comment),
        want.map((what) => `tulle abcd0123 ${shown}: ${what}`),
      )
      const links = acceptedLinks(wanted)
      for (const { comment } of rules) {
        const found = { ...ruleOf('accept', 1), comment }
        t.strictSame(linksOfRule('abcd0123', found), links, 'the links are read back')
        t.equal(linksOfRule('00000000', found), undefined, "another store's rule is not ours")
        t.ok(links && isAcceptRule('abcd0123', links, found))
        const others = { name: 'cni01', isPrefix: false }
        t.notOk(isAcceptRule('abcd0123', others, found), "nor another bridge's")
      }
    }
  })

test('a rule without comment, or of somebody else, is nobody’s', async (t) => {
  for (const comment of [undefined, '', 'tulle', 'tulle abcd0123', 'docker: tulle abcd0123 x'])
    t.equal(linksOfRule('abcd0123', { ...ruleOf('accept', 1), comment }), undefined)
})

/** Chains by name; `base` is the one that is asked about. */
type Chains = Readonly<Record<string, readonly Effect[]>>
const rows: readonly { why: string; chains: Chains; end: string; at?: number }[] = [
  { why: 'an empty chain', chains: { base: [] }, end: 'through' },
  { why: 'conditions only', chains: { base: ['depends', 'nothing'] }, end: 'through' },
  { why: 'a last drop', chains: { base: ['depends', 'drop'] }, end: 'drop', at: 1 },
  { why: 'the first drop', chains: { base: ['drop', 'drop'] }, end: 'drop', at: 0 },
  { why: 'an accept before the drop', chains: { base: ['accept', 'drop'] }, end: 'accept', at: 0 },
  { why: 'a return before the drop', chains: { base: ['return', 'drop'] }, end: 'through', at: 0 },
  {
    why: 'a drop in a chain that all jump to',
    chains: { base: ['depends', { jump: 'x' }, 'drop'], x: ['depends', 'drop'] },
    end: 'drop',
    at: 1,
  },
  {
    why: 'a jump that comes back',
    chains: { base: [{ jump: 'x' }, 'drop'], x: ['depends', 'return', 'drop'] },
    end: 'drop',
    at: 1,
  },
  {
    why: 'a goto does not come back',
    chains: { base: [{ goto: 'x' }, 'drop'], x: ['depends'] },
    end: 'through',
    at: 0,
  },
  {
    why: 'a goto inside a jump comes back to the jump',
    chains: { base: [{ jump: 'x' }, 'drop'], x: [{ goto: 'y' }, 'accept'], y: [] },
    end: 'drop',
    at: 1,
  },
  {
    why: 'two deep',
    chains: { base: [{ jump: 'x' }], x: [{ goto: 'y' }], y: ['nothing', 'drop'] },
    end: 'drop',
    at: 0,
  },
  { why: 'a chain that is gone', chains: { base: [{ jump: 'x' }] }, end: 'through' },
]
for (const { why, chains, end, at } of rows)
  test(`what becomes of a packet: ${why}`, async (t) => {
    const rulesOf = (name: string) => (chains[name] ?? []).map(ruleOf)
    const fate = fateIn(rulesOf('base'), rulesOf)
    t.equal(fate.end, end)
    t.equal(fate.at?.handle, at === undefined ? undefined : BigInt(at))
  })

test('chains that jump in a circle end', async (t) => {
  const rulesOf = () => [ruleOf({ jump: 'x' }, 0)]
  t.equal(fateIn(rulesOf(), rulesOf).end, 'through')
})
