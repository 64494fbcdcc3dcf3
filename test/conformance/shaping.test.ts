import { rmSync } from 'node:fs'
import t, { type Test } from 'tap'
import {
  add,
  added,
  ask,
  check,
  deleted,
  type Mode,
  modes,
  netconf,
  type Result,
  refusalOf,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import { asOurs, asReference } from '../support/named.ts'
import { watchResidue } from '../support/residue.ts'
import { bandwidthConf, bridgeConf, filtersOf, hostEndOf, limitsOf } from '../support/shaping.ts'

t.setTimeout(240_000)

const bucket = 'tbf rate=2500000 burst=25000 lat=15000'
const all = '0/0@0 redirect'

type Case = Readonly<{
  why: string
  keys: Json
  limits: readonly string[]
  received?: readonly string[]
  sent?: readonly string[]
  ifbs: number
}>

/** What `tc` shows for what is asked. */
const cases: readonly Case[] = [
  {
    why: 'both directions',
    keys: { ingressRate: 20e6, egressRate: 20e6 },
    limits: [`FROM root ${bucket}`, 'HOST hook clsact', `HOST root ${bucket}`],
    received: [`61003 all ${all} FROM`],
    ifbs: 1,
  },
  {
    why: 'to the pod only',
    keys: { ingressRate: 20e6 },
    limits: [`HOST root ${bucket}`],
    ifbs: 0,
  },
  {
    why: 'from the pod only',
    keys: { egressRate: 20e6 },
    limits: [`FROM root ${bucket}`, 'HOST hook clsact'],
    received: [`61003 all ${all} FROM`],
    ifbs: 1,
  },
  {
    why: 'containerd’s keys, with the burst that it always sends',
    keys: {
      runtimeConfig: { bandwidth: { IngressRate: 20_000_000, IngressBurst: 4_294_967_295 } },
    },
    limits: [`HOST root ${bucket}`],
    ifbs: 0,
  },
  {
    why: 'the pod’s annotations alone',
    keys: {
      runtimeConfig: {
        'io.kubernetes.cri.pod-annotations': { 'kubernetes.io/ingress-bandwidth': '20M' },
      },
    },
    limits: [`HOST root ${bucket}`],
    ifbs: 0,
  },
  {
    why: 'a rate above 32 bits of bytes, and a burst longer than the queue',
    keys: { ingressRate: 40e9, ingressBurst: 4e9, bandwidthLatencyMilliseconds: 5 },
    // tc tells sizes in whole microseconds of their rate
    limits: ['HOST root tbf rate=5000000000 burst=499995000 minburst=6240000 lat=1876'],
    ifbs: 0,
  },
  {
    why: 'exempted subnets',
    keys: { ingressRate: 20e6, egressRate: 20e6, unshapedSubnets: ['10.0.0.0/8', 'fd00::/8'] },
    limits: [`FROM root ${bucket}`, 'HOST hook clsact', `TO root ${bucket}`],
    received: [
      '61001 ip a000000/ff000000@16 pass',
      '61002 ipv6 fd000000/ff000000@24 pass',
      `61003 all ${all} FROM`,
    ],
    sent: [
      '61011 ip a000000/ff000000@12 pass',
      '61012 ipv6 fd000000/ff000000@8 pass',
      `61013 all ${all} TO`,
    ],
    ifbs: 2,
  },
  {
    why: 'limited subnets',
    keys: { ingressRate: 20e6, shapedSubnets: ['192.0.2.0/24'] },
    limits: ['HOST hook clsact', `TO root ${bucket}`],
    sent: ['61011 ip c0000200/ffffff00@12 redirect TO'],
    ifbs: 1,
  },
]

function expectLimits(t: Test, pod: Pod, result: Result, row: Case): void {
  const { netns } = pod.host
  const end = hostEndOf(result)
  t.strictSame(limitsOf(netns, end), row.limits, 'tc qdisc')
  if (row.received) t.strictSame(filtersOf(netns, end, 'ingress'), row.received, 'tc ingress')
  if (row.sent) t.strictSame(filtersOf(netns, end, 'egress'), row.sent, 'tc egress')
  const ifbs = (result.interfaces ?? []).filter(({ name }) => /^tu[ei]/.test(name))
  t.equal(ifbs.length, row.ifbs, 'ifbs in the result')
  for (const { name, mac, sandbox } of ifbs) {
    const [link] = netns.ipJson('link', 'show', 'dev', name)
    t.strictSame([link?.address, sandbox], [mac, undefined], 'with their MAC, and no sandbox')
    t.match(link?.ifalias, /^tulle1 ifb - eth0 net /, 'marked as ours')
    t.ok(((link?.flags ?? []) as string[]).includes('UP'))
  }
}

for (const mode of modes)
  t.test(`${mode}: limits that this plugin sets with the interface`, (t) =>
    withHost(async (host) => {
      for (const row of cases)
        await t.test(row.why, async (t) => {
          const pod = host.pod()
          const left = watchResidue(host, [pod.netns])
          const conf = netconf(host, { mode, keys: row.keys })
          const result = added(pod, conf)
          expectLimits(t, pod, result, row)
          t.equal(check(pod, conf, result).stdout, '', 'CHECK agrees in silence')
          deleted(pod, { ...conf, prevResult: result })
          t.same(left(), [], 'DEL leaves nothing')
        })
    }),
  )

/** A pod whose interface is Debian's bridge's, and our `bandwidth` behind it. */
function bridged(host: Host): { pod: Pod; prevResult: Result; close: () => void } {
  const pod = host.pod()
  const conf = bridgeConf(host)
  const prevResult = added(pod, conf, asReference(host, 'bridge'))
  // The kernel gives a link without a queue's length one with its first qdisc, and leaves it.
  host.netns.ip('link', 'set', hostEndOf(prevResult), 'txqueuelen', '1000')
  return { pod, prevResult, close: () => deleted(pod, conf, asReference(host, 'bridge')) }
}

t.test('behind Debian’s bridge, under the name bandwidth', (t) =>
  withHost(async (host) => {
    const ours = asOurs(host, 'bandwidth')
    for (const row of cases)
      await t.test(row.why, async (t) => {
        const { pod, prevResult, close } = bridged(host)
        const left = watchResidue(host, [pod.netns])
        const conf = bandwidthConf(host, row.keys)
        const result = added(pod, { ...conf, prevResult }, ours)
        expectLimits(t, pod, result, row)
        const { interfaces: before, ...rest } = prevResult
        const { interfaces: after, ...others } = result
        t.strictSame(others, rest, 'nothing else of the result is changed')
        t.strictSame(after?.slice(0, before?.length), before)
        t.equal(check(pod, conf, result, ours).stdout, '', 'CHECK agrees in silence')
        const again = added(pod, { ...conf, prevResult }, ours)
        t.strictSame(again, result, 'ADD again without DEL')
        expectLimits(t, pod, again, row)
        deleted(pod, conf, { ...ours, netns: '' })
        t.same(left(), [], 'DEL leaves the bridge’s own, without prevResult and namespace')
        deleted(pod, conf, ours)
        close()
      })
  }),
)

t.test('nothing asked, and specification versions that the reference refuses', (t) =>
  withHost((host) => {
    const ours = asOurs(host, 'bandwidth')
    const { pod, prevResult, close } = bridged(host)
    const left = watchResidue(host, [pod.netns])
    for (const runtimeConfig of [undefined, { bandwidth: {} }, { bandwidth: { IngressRate: 0 } }]) {
      const conf = bandwidthConf(host, { ...(runtimeConfig ? { runtimeConfig } : {}), prevResult })
      t.strictSame(added(pod, conf, ours), prevResult)
      deleted(pod, conf, ours)
    }
    const old = { cniVersion: '0.2.0', ip4: { ip: '10.77.0.2/24' } }
    const conf = { ...bandwidthConf(host, { ingressRate: 20e6 }), cniVersion: '0.2.0' }
    added(pod, { ...conf, prevResult: old }, ours)
    t.strictSame(limitsOf(host.netns, hostEndOf(prevResult)), [`HOST root ${bucket}`])
    deleted(pod, conf, ours)
    t.same(left(), [])
    close()
  }),
)

/** What somebody does to the limits, END and IFB for the links, and what CHECK says then. */
const damages: readonly Readonly<{ does: string; says: RegExp }>[] = [
  { does: 'tc qdisc del dev END root', says: /END does not limit what it sends/ },
  {
    does: 'tc qdisc change dev END root handle 7475: tbf rate 30mbit burst 25000 limit 62500',
    says: /END sends 3750000 bytes a second, not 2500000/,
  },
  {
    does: 'tc qdisc change dev IFB root handle 7475: tbf rate 20mbit burst 25000 limit 125000',
    says: /IFB holds 125000 bytes back, not 62500/,
  },
  {
    does: 'tc qdisc change dev IFB root handle 7475: tbf rate 20mbit burst 50000 limit 62500',
    says: /IFB has not the burst of 25000 bytes/,
  },
  { does: 'tc qdisc del dev END clsact', says: /END ingress does not redirect to IFB/ },
  {
    does: 'tc filter del dev END ingress pref 61003',
    says: /END ingress does not redirect to IFB/,
  },
  { does: 'ip link set IFB down', says: /ifb IFB is down/ },
  { does: 'ip link del IFB', says: /ifb IFB is not there/ },
]

for (const mode of modes)
  t.test(`${mode}: CHECK sees what is changed, and DEL does not mind`, (t) =>
    withHost(async (host) => {
      for (const { does, says } of damages)
        await t.test(does, async (t) => {
          const pod = host.pod()
          const left = watchResidue(host, [pod.netns])
          const conf = netconf(host, { mode, keys: { ingressRate: 20e6, egressRate: 20e6 } })
          const result = added(pod, conf)
          const [end, ifb] = [hostEndOf(result), result.interfaces?.at(-1)?.name ?? '']
          const command = does.replace('END', end).replace('IFB', ifb)
          t.equal(host.netns.exec(command.split(' ')).stderr, '', command)
          const refusal = refusalOf(check(pod, conf, result))
          t.equal(refusal?.code, 104)
          t.match(refusal?.details?.replaceAll(end, 'END').replaceAll(ifb, 'IFB'), says)
          deleted(pod, conf)
          t.same(left(), [])
        })
    }),
  )

t.test('GC collects limits of pods that are gone, with the store and without', (t) =>
  withHost((host) => {
    const ours = asOurs(host, 'bandwidth')
    for (const store of ['kept', 'lost'] as const) {
      const { pod, prevResult, close } = bridged(host)
      const left = watchResidue(host, [pod.netns])
      const conf = { ...bandwidthConf(host, { egressRate: 20e6 }), cniVersion: '1.1.0' }
      added(pod, { ...conf, prevResult: { ...prevResult, cniVersion: '1.1.0' } }, ours)
      const here = [{ containerID: pod.container, ifname: pod.ifname }]
      const alive = ask('GC', host, { ...conf, 'cni.dev/valid-attachments': here }, ours)
      t.same([alive.code, alive.stdout], [0, ''], `${store}: GC`)
      const limits = [`FROM root ${bucket}`, 'HOST hook clsact']
      t.strictSame(limitsOf(host.netns, hostEndOf(prevResult)), limits, 'of the living stay')
      if (store === 'lost') rmSync(`${host.dataDir}/tulle.db`)
      ask('GC', host, { ...conf, 'cni.dev/valid-attachments': [] }, ours)
      t.strictSame(
        left().filter((line) => store === 'kept' || !line.includes('clsact')),
        [],
        `${store}: collected; the hook goes with the host end`,
      )
      close()
    }
    for (const mode of modes) wholePodIsCollected(t, host, mode)
  }),
)

function wholePodIsCollected(t: Test, host: Host, mode: Mode): void {
  const pod = host.pod()
  const left = watchResidue(host, [pod.netns])
  const conf = netconf(host, { mode, keys: { egressRate: 20e6 } })
  added(pod, conf)
  rmSync(`${host.dataDir}/tulle.db`)
  const ran = ask('GC', host, { ...conf, 'cni.dev/valid-attachments': [] })
  t.same([ran.code, ran.stdout, left()], [0, '', []], `${mode}: by the alias alone`)
}

t.test('DEL after the store was lost', (t) =>
  withHost((host) => {
    for (const mode of modes) {
      const pod = host.pod()
      const left = watchResidue(host, [pod.netns])
      const conf = netconf(host, { mode, keys: { ingressRate: 20e6, egressRate: 20e6 } })
      added(pod, conf)
      rmSync(`${host.dataDir}/tulle.db`)
      deleted(pod, conf)
      t.same(left(), [], mode)
    }
  }),
)

t.test('what others have on the host end is neither overtaken nor removed', (t) =>
  withHost((host) => {
    const ours = asOurs(host, 'bandwidth')
    const { pod, prevResult, close } = bridged(host)
    const end = hostEndOf(prevResult)
    const tc = (words: string): string => host.netns.exec(['tc', ...words.split(' ')]).stderr
    const conf = bandwidthConf(host, { ingressRate: 20e6, egressRate: 20e6 })

    t.equal(tc(`qdisc add dev ${end} clsact`), '')
    const classifier = watchResidue(host, [pod.netns])
    added(pod, { ...conf, prevResult }, ours)
    deleted(pod, conf, ours)
    t.same(classifier(), [], 'a clsact that was there stays')
    t.equal(tc(`qdisc del dev ${end} clsact`), '')

    added(pod, { ...conf, prevResult }, ours)
    t.equal(tc(`filter add dev ${end} egress pref 5 protocol ip u32 match u32 0 0 flowid :1`), '')
    deleted(pod, conf, ours)
    const rest = filtersOf(host.netns, end, 'egress').length
    t.equal(rest, 1, 'a filter that an agent has put into our clsact stays, and the clsact with it')
    t.equal(tc(`qdisc del dev ${end} clsact`), '')

    t.equal(tc(`qdisc add dev ${end} root handle 1: tbf rate 1gbit burst 10000 limit 100000`), '')
    const root = watchResidue(host, [pod.netns])
    const refusal = refusalOf(add(pod, { ...conf, prevResult }, ours))
    t.equal(refusal?.code, 106)
    t.match(refusal?.details, /tc qdisc show dev/)
    t.same(root(), [], 'a root qdisc of others is refused, and nothing is left of the rest')
    t.equal(tc(`qdisc del dev ${end} root`), '')
    close()
  }),
)

t.test('refused: no other end on the host, a second limit, a stranger’s name', (t) =>
  withHost((host) => {
    const ours = asOurs(host, 'bandwidth')
    const keys = { ingressRate: 20e6, egressRate: 20e6 }
    const conf = bandwidthConf(host, keys)

    const lone = host.pod()
    lone.netns.ip('link', 'add', 'eth0', 'type', 'ifb')
    const interfaces = [{ name: 'eth0', sandbox: lone.netns.path }]
    const without = refusalOf(add(lone, { ...conf, prevResult: { interfaces } }, ours))
    t.equal(without?.code, 7)
    t.match(without?.details, /eth0 has no other end on the host/)

    const pod = host.pod()
    const left = watchResidue(host, [pod.netns])
    const main = netconf(host, { mode: 'routed', version: '1.0.0', keys })
    const prevResult = added(pod, main)
    const twice = refusalOf(add(pod, { ...conf, prevResult }, ours))
    t.equal(twice?.code, 7)
    t.match(twice?.details, /tulle limits eth0 already/)
    const ifb = prevResult.interfaces?.at(-1)?.name ?? ''
    deleted(pod, main)
    t.same(left(), [])

    host.netns.ip('link', 'add', ifb, 'type', 'ifb')
    host.netns.ip('link', 'set', ifb, 'alias', 'somebody else’s')
    const taken = watchResidue(host, [pod.netns])
    const refusal = refusalOf(add(pod, main))
    t.equal(refusal?.code, 106)
    t.match(refusal?.details, ifb)
    deleted(pod, main)
    t.same(taken(), [], 'the stranger is not touched')
    host.netns.ip('link', 'set', ifb, 'alias', '')
  }),
)
