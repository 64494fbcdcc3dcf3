import { setTimeout as later } from 'node:timers/promises'
import t from 'tap'
import type { Program } from '../../src/policy/program.ts'
import { addressesOf, type PolicedNode, withPolicedNode } from './policed-node.ts'
import { profile, program, spans, whole } from './programs.ts'
import { talk } from './talk.ts'

t.setTimeout(120_000)

const identities = Object.fromEntries(
  (['a', 'b', 'c'] as const).flatMap((name, at) =>
    Object.values(addressesOf(name)).map((address) => [address, 256 + at]),
  ),
)
const open = Object.fromEntries(Object.keys(identities).map((address) => [address, {}]))
const a = addressesOf('a')

/** Pod a is isolated, and lets in pods of these identities. */
const letting = (...allowed: readonly number[]): Program =>
  program({
    identities,
    subjects: { ...open, [a.v4]: { ingress: 'in-a' }, [a.v6]: { ingress: 'in-a' } },
    profiles: [
      profile('in-a', { identities: new Map(allowed.map((one) => [one, spans('any 7000-7999')])) }),
    ],
  })

/** Once something was refused; a packet is dropped while it is sent, or a moment later. */
async function refused(node: PolicedNode, of: Program): Promise<number> {
  for (let look = 0; look < 1_000; look++) {
    const count = node.count(of)
    if (count > 0) return count
    await later(2)
  }
  return 0
}

const [b, c] = [257, 258]

for (const { protocol, family } of [
  { protocol: 'tcp', family: 'v4' },
  { protocol: 'tcp', family: 'v6' },
  { protocol: 'udp', family: 'v4' },
  { protocol: 'udp', family: 'v6' },
] as const)
  for (const speaker of ['caller', 'answerer'] as const)
    t.test(`P36: what a change forbids is cut: ${protocol} ${family}, the ${speaker} speaks`, (t) =>
      withPolicedNode(async (node) => {
        const [before, after] = [letting(b, c), letting(c)]
        node.load(before)
        const { pods, policies } = node
        const address = a[family]
        const cut = await talk(pods.b, pods.a, { protocol, address, port: 7001 })
        const kept = await talk(pods.c, pods.a, { protocol, address, port: 7002 })
        try {
          t.equal(node.count(before), 0)
          const { generation } = policies
          policies.change(before, after)
          t.not(policies.generation, generation)
          const other = speaker === 'caller' ? 'answerer' : 'caller'
          cut[speaker].say('now forbidden')
          t.ok((await refused(node, after)) > 0, 'its next packet is dropped, and counted')
          kept[speaker].say('still allowed')
          t.equal(await kept[other].hears(), 'still allowed')
          kept[other].say('so are answers')
          t.equal(await kept[speaker].hears(), 'so are answers')
          // UDP sends nothing again, TCP does until it gets through.
          policies.change(after, before)
          t.not(policies.generation, generation, 'a later generation')
          cut[speaker].say('allowed again')
          const heard = await cut[other].hears()
          t.match(heard, protocol === 'tcp' ? /forbidden|again/ : /^allowed again$/)
        } finally {
          cut.close()
          kept.close()
        }
      }),
    )

t.test('a connection bears its generation in the upper 20 bits of its mark', (t) =>
  withPolicedNode(async (node) => {
    node.load(letting(b))
    const { pods, policies, host } = node
    const [others, ours] = [0x123, (policies.generation ?? 0) * 2 ** 12]
    node.nft(`table inet others {
      counter marked { }
      chain before { type filter hook prerouting priority 0; ct state new ct mark set ${others}; }
      chain behind { type filter hook postrouting priority 300;
        ct mark ${ours + others} counter name marked
      }
    }`)
    const kept = await talk(pods.b, pods.a, { protocol: 'udp', address: a.v4, port: 7001 })
    kept.close()
    const { stdout } = host.netns.exec(['nft', 'list', 'counter', 'inet', 'others', 'marked'])
    t.match(stdout, /packets [1-9]/, 'the lower 12 are as somebody else has set them')
  }),
)

t.test('what only opens leaves connections alone', (t) =>
  withPolicedNode(async (node) => {
    const [before, after] = [letting(b), letting(b, c)]
    node.load(before)
    const { pods, policies } = node
    const { generation } = policies
    const kept = await talk(pods.b, pods.a, { protocol: 'tcp', address: a.v4, port: 7001 })
    try {
      policies.change(before, after)
      t.equal(policies.generation, generation)
      kept.caller.say('still here')
      t.equal(await kept.answerer.hears(), 'still here')
      const come = await talk(pods.c, pods.a, { protocol: 'tcp', address: a.v4, port: 7003 })
      come.close()
    } finally {
      kept.close()
    }
  }),
)

for (const { why, before, after, isNew } of [
  { why: 'nothing', before: letting(b), after: letting(b), isNew: false },
  { why: 'a pod more', before: letting(b), after: letting(b, c), isNew: false },
  { why: 'a pod less', before: letting(b, c), after: letting(b), isNew: true },
  {
    why: 'a policy goes (P47)',
    before: letting(b),
    after: program({ identities, subjects: open }),
    isNew: false,
  },
  {
    why: 'a first policy comes (P11)',
    before: program({ identities, subjects: open }),
    after: letting(b),
    isNew: true,
  },
  {
    why: 'an address goes, and may be another’s soon (P44)',
    before: program({ identities, subjects: open }),
    after: program({ identities, subjects: {} }),
    isNew: true,
  },
  {
    why: 'an identity is another’s (P46)',
    before: letting(b),
    after: program({
      ...letting(b),
      identities: { ...identities, [a.v4]: 300 },
      subjects: Object.fromEntries(letting(b).subjects),
      profiles: [...letting(b).profiles.values()],
    }),
    isNew: true,
  },
  {
    why: 'a policy denies',
    before: program({ identities, subjects: open, profiles: [profile('in-a', { pods: whole })] }),
    after: program({
      identities,
      subjects: open,
      profiles: [
        profile(
          'in-a',
          { pods: whole },
          {
            denies: [
              {
                policy: 'x/y',
                reach: { ...profile('in-a', {}).allows, anybody: spans('tcp 22') },
              },
            ],
          },
        ),
      ],
    }),
    isNew: true,
  },
])
  t.test(`generation: ${why}`, (t) =>
    withPolicedNode(({ policies }) => {
      policies.load(before, [])
      const { generation } = policies
      policies.change(before, after)
      t.equal(policies.generation !== generation, isNew)
      t.ok(policies.isAsCommitted(after, []))
    }),
  )
