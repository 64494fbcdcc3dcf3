import t from 'tap'
import { added, attach, deleted, type Extra, type Result } from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { withHost } from '../support/host.ts'
import { asOurs, asReference } from '../support/named.ts'
import { picture } from '../support/residue.ts'
import { bandwidthConf, bridgeConf, filtersOf, hostEndOf, limitsOf } from '../support/shaping.ts'

t.setTimeout(240_000)

// The same second plugin of a list, once Debian's and once ours, behind Debian's bridge both times.

type Fact = readonly [path: string, value: string]

/** Every way in which we want to differ; anything else is a fault. */
const wanted: readonly Readonly<{ path: RegExp; ours: RegExp; reason: string }>[] = [
  {
    path: /^limit .* burst$/,
    ours: /^\d+$/,
    reason: 'a burst is a second’s worth at most, and what CRI sends for "not said" is 10 ms’',
  },
  {
    path: /^limit .* (lat|limit)$/,
    ours: /^\d+$|^absent$/,
    reason: 'what waits takes 25 ms with the burst, not after it: a ping under load is fast',
  },
  {
    path: /^limit .* minburst$/,
    ours: /^\d+$/,
    reason: 'with a burst longer than the queue, packets too large for the queue are cut',
  },
  {
    path: /^hook$/,
    ours: /^clsact$/,
    reason: 'policy agents add a clsact, and cannot beside an ingress: both carry our filters',
  },
  {
    path: /^filter$/,
    ours: /^61003 /,
    reason: 'after the filters of policy agents, not before: they decide what passes',
  },
]

const buckets = (limits: readonly string[]): readonly Fact[] =>
  limits.flatMap((line): readonly Fact[] => {
    const [place = '', , kind = '', ...facts] = line.split(' ')
    if (kind !== 'tbf') return [['hook', kind]]
    return [
      [`limit ${place}`, kind],
      ...facts.map((fact): Fact => {
        const [key = '', value = ''] = fact.split('=')
        return [`limit ${place} ${key}`, value]
      }),
    ]
  })

function factsOf(result: Result, before: Result, limits: readonly string[], filters: Fact[]) {
  const added = (result.interfaces ?? []).slice(before.interfaces?.length)
  const { interfaces: _, ...rest } = result
  return new Map<string, string>([
    ...buckets(limits),
    ...filters,
    ['result', JSON.stringify(rest)],
    ['ifbs in the result', String(added.length)],
    ...added.map(({ name: _name, ...keys }, at): Fact => [`ifb ${at}`, Object.keys(keys).join()]),
  ])
}

type Case = Readonly<{ why: string; keys: Json }>
const cases: readonly Case[] = [
  {
    why: 'both directions',
    keys: { ingressRate: 20e6, ingressBurst: 200e3, egressRate: 10e6, egressBurst: 100e3 },
  },
  { why: 'to the pod only', keys: { ingressRate: 20e6, ingressBurst: 200e3 } },
  { why: 'from the pod only', keys: { egressRate: 10e6, egressBurst: 1e6 } },
  {
    why: 'containerd',
    keys: { runtimeConfig: { bandwidth: { IngressRate: 20e6, IngressBurst: 4294967295 } } },
  },
  {
    why: 'CRI-O',
    keys: { runtimeConfig: { bandwidth: { egressRate: 20e6, egressBurst: 34359738359 } } },
  },
  {
    why: 'the configuration wins',
    keys: {
      ingressRate: 20e6,
      ingressBurst: 200e3,
      runtimeConfig: { bandwidth: { ingressRate: 5e6, ingressBurst: 100e3 } },
    },
  },
  { why: 'nothing', keys: { runtimeConfig: { bandwidth: {} } } },
]

async function seenBy(keys: Json, plugin: 'theirs' | 'ours'): Promise<ReadonlyMap<string, string>> {
  let seen: ReadonlyMap<string, string> = new Map()
  await withHost((host) => {
    const pod = host.pod()
    const first = bridgeConf(host)
    const before = added(pod, first, asReference(host, 'bridge'))
    const end = hostEndOf(before)
    const extra: Extra =
      plugin === 'ours' ? asOurs(host, 'bandwidth') : asReference(host, 'bandwidth')
    const conf = bandwidthConf(host, keys)
    const result = added(pod, { ...conf, prevResult: before }, extra)
    const filters = filtersOf(host.netns, end, 'ingress').map((line): Fact => ['filter', line])
    const facts = factsOf(result, before, limitsOf(host.netns, end), filters)
    facts.set('result', (facts.get('result') ?? '').replaceAll(pod.netns.path, 'NETNS'))
    const checked = attach('CHECK', pod, { ...conf, prevResult: result }, extra)
    facts.set('CHECK', `${checked.code} ${checked.stdout}`)
    deleted(pod, { ...conf, prevResult: result }, extra)
    const left = picture(host.netns).filter((line) => /tbf|clsact|ingress|ifb|tu[ei]/.test(line))
    if (plugin === 'ours') facts.set('left', left.join())
    else facts.set('left', left.filter((line) => /ifb|bwp/.test(line)).join())
    deleted(pod, first, asReference(host, 'bridge'))
    seen = facts
  })
  return seen
}

const met = new Set<string>()

for (const { why, keys } of cases)
  t.test(why, async (t) => {
    const [theirs, ours] = [await seenBy(keys, 'theirs'), await seenBy(keys, 'ours')]
    const paths = [...new Set([...theirs.keys(), ...ours.keys()])].sort()
    const found = paths
      .map((path) => ({
        path,
        reference: theirs.get(path) ?? 'absent',
        ours: ours.get(path) ?? 'absent',
      }))
      .filter((one) => one.reference !== one.ours)
    const unlisted = found.filter((one) => {
      const entry = wanted.find(({ path, ours }) => path.test(one.path) && ours.test(one.ours))
      if (entry) met.add(entry.reason)
      return entry === undefined
    })
    t.same(unlisted, [], 'nothing differs but what is listed')
    t.ok(paths.length >= 4, `${paths.length} facts`)
  })

t.test('every listed difference is still one', async (t) => {
  t.same(
    wanted.filter(({ reason }) => !met.has(reason)).map(({ path, reason }) => `${path}: ${reason}`),
    [],
  )
})

t.test('refused by both: a burst without a rate, a burst too large', (t) =>
  withHost((host) => {
    const pod = host.pod()
    const before = added(pod, bridgeConf(host), asReference(host, 'bridge'))
    for (const keys of [{ ingressBurst: 1000 }, { egressRate: 1e6, egressBurst: 34359738400 }])
      for (const extra of [asReference(host, 'bandwidth'), asOurs(host, 'bandwidth')]) {
        const conf = { ...bandwidthConf(host, keys), prevResult: before }
        t.equal(attach('ADD', pod, conf, extra).code, 1, JSON.stringify(keys))
      }
    // They refuse a rate without a burst too; a burst of 10 ms is what people want then.
    const rate = { ...bandwidthConf(host, { ingressRate: 1e6 }), prevResult: before }
    t.equal(attach('ADD', pod, rate, asReference(host, 'bandwidth')).code, 1)
    t.equal(attach('ADD', pod, rate, asOurs(host, 'bandwidth')).code, 0)
    deleted(pod, rate, asOurs(host, 'bandwidth'))
    deleted(pod, bridgeConf(host), asReference(host, 'bridge'))
  }),
)
