import fc from 'fast-check'

// Random tables in nft's own words: the forms of rules that Tulle has, and some that only others
// would put there.

export const addresses = {
  4: ['10.1.0.1', '10.1.0.2', '10.1.0.9', '10.1.3.3'],
  6: ['fd00:1::1', 'fd00:1::2', 'fd00:1::9', 'fd00:1:3::3'],
} as const
export const ports = [53, 54, 80, 8080] as const

const family = fc.constantFrom(4 as const, 6 as const)
const addressOf = (which: 4 | 6) => fc.constantFrom(...addresses[which])
const port = fc.constantFrom(...ports)
const ip = (which: 4 | 6) => (which === 4 ? 'ip' : 'ip6')
const end = fc.constantFrom('ct original', 'ct reply')
const pass = ['accept', 'drop', 'return'] as const

/** "ct original ip saddr", "ip6 daddr" */
const addressField = (which: 4 | 6) =>
  fc.oneof(
    end.map((one) => `${one} ${ip(which)} saddr`),
    fc.constantFrom('saddr', 'daddr').map((one) => `${ip(which)} ${one}`),
  )
const portField = fc.constantFrom(
  'meta l4proto udp ct reply proto-src',
  'meta l4proto udp ct original proto-dst',
  'udp dport',
)

const blocks = { 4: ['10.1.0.0/30', '10.1.0.0/24'], 6: ['fd00:1::/126', 'fd00:1::/64'] } as const
const blockOf = (which: 4 | 6) => fc.constantFrom(...blocks[which])
const prefixOf = (which: 4 | 6) =>
  fc.constantFrom(...blocks[which], which === 4 ? '0.0.0.0/0' : '::/0')

const addressMatch = (which: 4 | 6) =>
  fc
    .tuple(
      addressField(which),
      fc.oneof(
        addressOf(which),
        addressOf(which).map((one) => `!= ${one}`),
        prefixOf(which),
        fc.constantFrom(`@hash${which}`, `!= @hash${which}`, `@blocks${which}`),
      ),
    )
    .map((words) => words.join(' '))

const concatMatch = (which: 4 | 6) =>
  fc
    .tuple(
      addressField(which),
      fc.constantFrom('udp sport', 'udp dport'), // nft can't have `ct … proto-src` in here
      fc.constantFrom('ports', 'spans'),
    )
    .map(([address, field, set]) => `${address} . meta l4proto . ${field} @${set}${which}`)

const plainMatch = fc.oneof(
  fc.constantFrom(
    ...['ct direction original', 'ct direction reply', 'ct state new', 'ct state established'],
    ...['ct state != new', 'ct state new,established', 'ct mark and 0xfffff000 == 0x1000'],
    ...['ct mark 0', 'meta l4proto udp', 'oifname "lo"'],
    ...['meta mark { 0, 7 }', 'fib saddr type local', 'fib daddr type unicast', 'iifname != "lo"'],
    ...['limit rate 100000/second burst 100000 packets', 'log group 9 prefix "x "'],
    ...['ct original protocol udp'],
  ),
  fc
    .tuple(
      portField,
      fc.oneof(
        port,
        port.map((one) => `!= ${one}`),
      ),
    )
    .map((two) => two.join(' ')),
  fc
    .tuple(portField, fc.constantFrom('54-80', '!= 54-80', '>= 80', '< 54'))
    .map((two) => two.join(' ')),
)

const chainsBelow = (level: number) =>
  [1, 2, 3]
    .filter((chain) => chain > level)
    .flatMap((chain) => [`jump c${chain}`, `goto c${chain}`])

const verdict = (level: number) =>
  fc.constantFrom(
    ...pass,
    ...chainsBelow(level),
    '',
    'ct mark set ct mark and 0xfff xor 0x1000',
    'ct mark set 0',
  )

const rule = (level: number) =>
  family
    .chain((which) =>
      fc.tuple(
        fc.array(fc.oneof(addressMatch(which), concatMatch(which), plainMatch), { maxLength: 3 }),
        verdict(level),
      ),
    )
    .map(([matches, what]) => [...matches, 'counter', what].filter((word) => word !== '').join(' '))

/** A verdict map comes without a counter: where it leads is what the next ones tell. */
const mapRule = family.chain((which) =>
  addressField(which).map((field) => `${field} vmap @verdicts${which}`),
)

const chain = (level: number) =>
  fc.array(fc.oneof({ weight: 5, arbitrary: rule(level) }, ...(level === 0 ? [mapRule] : [])), {
    maxLength: 6,
  })

const some = <T>(one: fc.Arbitrary<T>) => fc.uniqueArray(one, { minLength: 1, maxLength: 4 })
const protocols = fc.constantFrom('udp', 'tcp')

/** Elements of the sets; blocks that overlap are merged by nft (auto-merge). */
const elements = (which: 4 | 6) =>
  fc.record({
    hash: some(addressOf(which)),
    blocks: some(blockOf(which)),
    verdicts: fc.uniqueArray(
      fc.tuple(addressOf(which), fc.constantFrom('goto c1', 'jump c2', ...pass)),
      { selector: ([key]) => key, minLength: 1, maxLength: 3 },
    ),
    ports: some(fc.tuple(addressOf(which), protocols, port).map((three) => three.join(' . '))),
    spans: fc.uniqueArray(
      fc.tuple(fc.nat(3), fc.nat(3), protocols, port, fc.constantFrom(0, 1, 30)),
      { selector: ([at, , protocol]) => `${at} ${protocol}`, minLength: 1, maxLength: 3 },
    ),
  })

/** Ranges of addresses that don't overlap: the n-th begins at the n-th address. */
const spanOf = (
  which: 4 | 6,
  [at, , protocol, first, more]: readonly [number, number, string, number, number],
): string => {
  const from = addresses[which][at] ?? ''
  return `${from}-${from} . ${protocol} . ${first}-${first + more}`
}

type Elements = typeof elements extends (which: 4 | 6) => fc.Arbitrary<infer T> ? T : never

function setsOf(which: 4 | 6, all: Elements): readonly string[] {
  const type = which === 4 ? 'ipv4_addr' : 'ipv6_addr'
  const of = (kind: string, name: string, head: string, list: readonly string[]) =>
    `${kind} ${name}${which} { ${head}; elements = { ${list.join(', ')} } }`
  const verdicts = all.verdicts.map(([key, what]) => `${key} : ${what}`)
  return [
    of('set', 'hash', `type ${type}`, all.hash),
    of('set', 'blocks', `type ${type}; flags interval; auto-merge`, all.blocks),
    of('map', 'verdicts', `type ${type} : verdict`, verdicts),
    of('set', 'ports', `type ${type} . inet_proto . inet_service`, all.ports),
    of(
      'set',
      'spans',
      `type ${type} . inet_proto . inet_service; flags interval`,
      all.spans.map((one) => spanOf(which, one)),
    ),
  ]
}

/** A table `t` of family inet with a hook behind conntrack, at postrouting. */
export const table: fc.Arbitrary<string> = fc
  .tuple(
    elements(4),
    elements(6),
    fc.tuple(chain(0), chain(1), chain(2), chain(3)),
    fc.constantFrom('accept', 'drop'),
  )
  .map(([four, six, [base, ...others], policy]) => {
    const chains = others.map(
      (rules, at) => `chain c${at + 1} { ${[...rules, 'counter'].join('; ')}; }`,
    )
    const hook = `type filter hook postrouting priority 90; policy ${policy}`
    // a jump needs its chain above it
    const parts = [...chains.toReversed(), ...setsOf(4, four), ...setsOf(6, six)]
    return [
      'table inet t {',
      ...parts,
      `chain base { ${[hook, ...base, 'counter'].join('; ')}; }`,
      '}',
      '',
    ].join('\n')
  })
