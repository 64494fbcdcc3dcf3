import { test } from 'tap'
import { acceptRules } from '../../src/datapath/acceptance.ts'
import type { Extras } from '../../src/datapath/extras.ts'
import { ForeignChains } from '../../src/kernel/foreign-chains.ts'
import {
  decodeForeignRule,
  decodePolicy,
  deleteForeignRule,
  dumpChain,
  type Effect,
  getForeignChain,
  newForeignRule,
} from '../../src/wire/nft/foreign.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { Lodger } from './node.ts'
import { type Room, withRoom } from './sockets.ts'

const forward = { family: 'ip', table: 'filter', chain: 'FORWARD' } as const

const iptables = (netns: Netns, ...lines: readonly string[]): void => {
  for (const line of lines) {
    const done = netns.exec(['/bin/sh', '-c', `iptables ${line}`])
    if (done.code !== 0) throw new Error(`Cannot iptables ${line}: ${done.stderr}`)
  }
}
const rulesIn = ({ nft }: Room) =>
  nft.ask('list', dumpChain(forward)).map(({ body }) => decodeForeignRule(body))

const extras = (bridge: string | null): Extras => ({
  network: 'net',
  container: 'c1',
  ifname: 'eth0',
  plugin: 'firewall',
  ips: [],
  hostLink: 'tul0123456789a',
  bridge,
  hostPorts: null,
  shaping: null,
  tuning: null,
  isolation: null,
  isAccepted: true,
})

/** The kernel's own words for each rule, without its handles and comments. */
const wordsOf = (netns: Netns): readonly string[] =>
  netns
    .exec(['nft', '--debug=netlink', 'list', 'chain', 'ip', 'filter', 'FORWARD'])
    .stdout.split('\n')
    .filter((line) => /^ {2}\[/.test(line) && !/match name comment/.test(line))

for (const [bridge, shown] of [
  ['cni0', 'cni0'],
  ['bridge-of-15-by', 'bridge-of-15-by'],
  [null, 'tul+'],
] as const)
  test(`our rules for ${shown} are those that iptables writes`, (t) =>
    withRoom((room) => {
      iptables(room.netns, '-P FORWARD DROP')
      const rules = acceptRules(extras(bridge), 'abcd0123', forward)
      t.strictSame(
        room.commit(...rules.map((rule) => newForeignRule(forward, rule, undefined))),
        [],
      )
      const ours = wordsOf(room.netns)
      const saved = room.netns.exec(['iptables', '-S', 'FORWARD']).stdout.trim().split('\n')
      const comment = (what: string) => `-m comment --comment "tulle abcd0123 ${shown}: ${what}"`
      const state = '-m conntrack --ctstate'
      t.strictSame(saved.slice(1), [
        `-A FORWARD -i ${shown} ${comment('from pods')} -j ACCEPT`,
        `-A FORWARD -o ${shown} ${state} RELATED,ESTABLISHED ` +
          `${comment('replies to pods')} -j ACCEPT`,
        `-A FORWARD -o ${shown} ${state} DNAT ${comment('host ports of pods')} -j ACCEPT`,
      ])
      iptables(room.netns, '-F FORWARD', ...saved.slice(1))
      t.strictSame(wordsOf(room.netns), ours)
      t.strictSame(
        rulesIn(room).map(({ comment, effect }) => [comment, effect]),
        rules.map(({ comment }) => [comment, 'depends']),
        "and iptables' own way to keep a comment is read too",
      )
    }))

const effects: readonly (readonly [string, Effect])[] = [
  ['-j ACCEPT', 'accept'],
  ['-j DROP', 'drop'],
  ['-j RETURN', 'return'],
  ['-j REJECT', 'drop'],
  ['-j REJECT --reject-with icmp-admin-prohibited', 'drop'],
  ['-m comment --comment "the rest" -j REJECT', 'drop'],
  ['-m comment --comment x -j DROP', 'drop'],
  ['-j LOG --log-prefix x', 'nothing'],
  ['-m comment --comment only', 'nothing'],
  ['-j other', { jump: 'other' }],
  ['-g other', { goto: 'other' }],
  ['-i eth0 -j DROP', 'depends'],
  ['-s 10.0.0.0/8 -j DROP', 'depends'],
  ['-p tcp -j DROP', 'depends'],
  ['-p tcp --dport 80 -j REJECT', 'depends'],
  ['-m conntrack --ctstate NEW -j DROP', 'depends'],
  ['-m limit --limit 1/s -j ACCEPT', 'depends'],
]
test('what rules do, as iptables writes them', (t) =>
  withRoom((room) => {
    iptables(room.netns, '-N other', ...effects.map(([rule]) => `-A FORWARD ${rule}`))
    const found = rulesIn(room).map(({ effect }) => effect)
    for (const [at, [rule, effect]] of effects.entries()) t.strictSame(found[at], effect, rule)
    t.equal(found.length, effects.length, 'and no rules of the other chain')
  }))

test('what rules do, as nft writes them', (t) =>
  withRoom((room) => {
    const rows: readonly (readonly [string, Effect])[] = [
      ['drop', 'drop'],
      ['counter drop comment "x"', 'drop'],
      ['reject with icmpx type admin-prohibited', 'drop'],
      ['log prefix "x"', 'nothing'],
      ['log prefix "x" reject', 'drop'],
      ['meta mark set 1', 'depends'],
      ['ct state { invalid } drop', 'depends'],
      ['ct state vmap { new : drop }', 'depends'],
      ['jump other', { jump: 'other' }],
    ]
    const lines = rows.map(([rule]) => `add rule inet firewalld filter_FORWARD ${rule}`)
    const script = [
      'add table inet firewalld',
      'add chain inet firewalld other',
      'add chain inet firewalld filter_FORWARD',
      ...lines,
    ].join('\n')
    const done = room.netns.exec(['nft', '-f', '-'], { input: `${script}\n` })
    t.equal(done.code, 0, done.stderr)
    const chain = { family: 'inet', table: 'firewalld', chain: 'filter_FORWARD' } as const
    const found = room.nft.ask('list', dumpChain(chain)).map(({ body }) => decodeForeignRule(body))
    for (const [at, [rule, effect]] of rows.entries()) t.strictSame(found[at]?.effect, effect, rule)
    t.equal(found[1]?.comment, 'x')
    const [body] = room.nft.ask('get', getForeignChain(chain)).map((message) => message.body)
    t.equal(body && decodePolicy(body), undefined, 'a chain without a hook has no policy')
  }))

test('a chain’s policy', (t) =>
  withRoom((room) => {
    const policy = () =>
      room.nft.ask('get', getForeignChain(forward)).map(({ body }) => decodePolicy(body))[0]
    iptables(room.netns, '-P FORWARD DROP')
    t.equal(policy(), 'drop')
    iptables(room.netns, '-P FORWARD ACCEPT')
    t.equal(policy(), 'accept')
  }))

test('a rule goes before another, and away by its handle', (t) =>
  withRoom((room) => {
    iptables(room.netns, '-A FORWARD -s 10.1.0.0/16 -j DROP', '-A FORWARD -j REJECT')
    const [, last] = rulesIn(room)
    const [rule] = acceptRules(extras('cni0'), 'abcd0123', forward)
    if (!rule || !last) throw new Error('no rule')
    t.strictSame(room.commit(newForeignRule(forward, rule, last.handle)), [])
    const effects = () => rulesIn(room).map(({ comment, effect }) => comment ?? effect)
    t.strictSame(effects(), ['depends', rule.comment, 'drop'])
    const handle = rulesIn(room)[1]?.handle ?? 0n
    t.strictSame(room.commit(deleteForeignRule(forward, handle)), [])
    t.strictSame(effects(), ['depends', 'drop'])
    t.strictSame(room.commit(deleteForeignRule(forward, handle)), ['message 1: errno 2'])
  }))

test('somebody changes the rules between our reading and our batch', async (t) => {
  const netns = makeNetns('foreign')
  let changes = 0
  // NFT_MSG_NEWRULE in the nftables subsystem: just before our batch is sent.
  const lodger = new Lodger(netns, (bytes) => {
    const isBatch = bytes.readUInt16LE(4) === 0x10
    if (isBatch && changes++ < 2) iptables(netns, `-A FORWARD -s 10.${changes}.0.0/16 -j DROP`)
    return bytes
  })
  try {
    iptables(netns, '-A FORWARD -j DROP')
    const chains = new ForeignChains(lodger.native)
    const wanted = () => acceptRules(extras('cni0'), 'abcd0123', forward).slice(0, 1)
    chains.ensure((chain) => (chain.family === 'ip' ? wanted() : []))
    t.equal(changes, 3, 'two batches were refused as stale')
    const [, first] = netns.exec(['iptables', '-S', 'FORWARD']).stdout.split('\n')
    t.match(first, /tulle abcd0123 cni0: from pods/)
    chains.drop(({ comment }) => comment?.startsWith('tulle ') ?? false)
    t.notMatch(netns.exec(['iptables', '-S']).stdout, /tulle/)
  } finally {
    lodger.close()
    netns.close()
  }
})
