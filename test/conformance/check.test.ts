import t, { type Test } from 'tap'
import {
  added,
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
import { difference, picture, watchResidue } from '../support/residue.ts'
import { errorFaults } from '../support/shape.ts'
import { forgetLeases } from '../support/store.ts'

t.setTimeout(240_000)

/** An attachment under test, with the names that its result gave. */
type Scene = Readonly<{ host: Host; pod: Pod; veth: string; v4: string; v6: string }>
type Row = Readonly<{
  why: string
  modes?: readonly Mode[]
  tamper: (scene: Scene) => void
  /** A word that the refusal has to say. */
  says: RegExp
  /** Takes away what the tampering itself has left. */
  repair?: (scene: Scene) => void
}>

const inPod =
  (...words: readonly string[]) =>
  ({ pod }: Scene): void => {
    pod.netns.ip(...words)
  }
const onHost =
  (...words: readonly string[]) =>
  ({ host, veth }: Scene): void => {
    host.netns.ip(...words.map((word) => (word === 'VETH' ? veth : word)))
  }

const everywhere: readonly Row[] = [
  {
    why: 'IPv4 address gone',
    tamper: ({ pod }) => pod.netns.ip('-4', 'addr', 'flush', 'dev', 'eth0'),
    says: /10\.77\.0\.\d+/,
  },
  {
    why: 'IPv6 address gone',
    tamper: ({ pod }) => pod.netns.ip('-6', 'addr', 'flush', 'dev', 'eth0', 'scope', 'global'),
    says: /fd00:77::/,
  },
  { why: 'IPv4 default route gone', tamper: inPod('route', 'del', 'default'), says: /0\.0\.0\.0/ },
  { why: 'IPv6 default route gone', tamper: inPod('-6', 'route', 'del', 'default'), says: /::\/0/ },
  { why: 'pod end down', tamper: inPod('link', 'set', 'eth0', 'down'), says: /eth0/ },
  { why: 'host end down', tamper: onHost('link', 'set', 'VETH', 'down'), says: /down|up/i },
  {
    why: 'pod end’s MTU changed',
    tamper: inPod('link', 'set', 'eth0', 'mtu', '1300'),
    says: /1300/,
  },
  {
    why: 'host end’s MTU changed',
    tamper: onHost('link', 'set', 'VETH', 'mtu', '1300'),
    says: /1300/,
  },
  {
    why: 'pod end’s MAC changed',
    tamper: inPod('link', 'set', 'eth0', 'address', '02:00:00:00:00:77'),
    says: /02:00:00:00:00:77/,
  },
  { why: 'interface gone', tamper: inPod('link', 'del', 'eth0'), says: /eth0/ },
  {
    why: 'interface replaced by another',
    tamper: ({ pod }) => {
      pod.netns.ip('link', 'del', 'eth0')
      pod.netns.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'other')
    },
    says: /eth0|tul/,
  },
  {
    why: 'ruleset flushed',
    tamper: ({ host }) => {
      host.netns.exec(['/usr/sbin/nft', 'flush', 'ruleset'])
    },
    says: /table|tulle/,
  },
  {
    why: 'leases deleted',
    tamper: ({ host }) => forgetLeases(host.dataDir, ''),
    says: /lease/,
  },
  {
    why: 'one of two leases deleted',
    tamper: ({ host }) => forgetLeases(host.dataDir, '6'),
    says: /fd00:77::/,
  },
]

const routed: readonly Row[] = [
  {
    why: 'subnet route gone in the pod',
    tamper: inPod('route', 'del', '10.77.0.0/24'),
    says: /10\.77\.0\.0\/24/,
  },
  {
    why: 'gateway route gone in the pod',
    tamper: ({ pod }) => {
      for (const dst of ['default', '10.77.0.0/24', '10.77.0.1']) pod.netns.ip('route', 'del', dst)
    },
    says: /10\.77\.0\.1/,
  },
  {
    why: 'host route gone',
    tamper: ({ host, v4 }) => host.netns.ip('route', 'del', v4),
    says: /10\.77\.0\.\d+/,
  },
  {
    why: 'IPv6 host route gone',
    tamper: ({ host, v6 }) => host.netns.ip('-6', 'route', 'del', v6),
    says: /fd00:77::/,
  },
  {
    why: 'host route moved to another link',
    tamper: ({ host, v4 }) => host.netns.ip('route', 'replace', v4, 'dev', 'up0'),
    says: /10\.77\.0\.\d+/,
    repair: ({ host, v4 }) => host.netns.ip('route', 'del', v4),
  },
  {
    why: 'gateway’s neighbour entry gone',
    tamper: inPod('neigh', 'del', '10.77.0.1', 'dev', 'eth0'),
    says: /neighbour/i,
  },
  {
    why: 'pod’s neighbour entry gone on the host',
    tamper: ({ host, veth, v4 }) => host.netns.ip('neigh', 'del', v4, 'dev', veth),
    says: /neighbour/i,
  },
  {
    why: 'gateway address gone from the host end',
    tamper: onHost('addr', 'del', '10.77.0.1/32', 'dev', 'VETH'),
    says: /10\.77\.0\.1/,
  },
]

const bridged: readonly Row[] = [
  {
    why: 'port taken out of the bridge',
    tamper: onHost('link', 'set', 'VETH', 'nomaster'),
    says: /cni0/,
  },
  {
    why: 'hairpin switched off',
    tamper: onHost('link', 'set', 'VETH', 'type', 'bridge_slave', 'hairpin', 'off'),
    says: /hairpin/,
  },
  {
    why: 'isolation switched off',
    tamper: onHost('link', 'set', 'VETH', 'type', 'bridge_slave', 'isolated', 'off'),
    says: /isolat/,
  },
  { why: 'bridge down', tamper: onHost('link', 'set', 'cni0', 'down'), says: /cni0/ },
  {
    why: 'gateway address gone from the bridge',
    tamper: onHost('addr', 'del', '10.77.0.1/24', 'dev', 'cni0'),
    says: /10\.77\.0\.1/,
  },
  { why: 'bridge gone', tamper: onHost('link', 'del', 'cni0'), says: /cni0/ },
]

const network = (host: Host, mode: Mode): Json => {
  const bridge = { hairpinMode: true, portIsolation: true, isDefaultGateway: true }
  const keys = { ipMasq: true, ...(mode === 'bridge' ? bridge : {}) }
  return netconf(host, { mode, families: 'dual', keys })
}

function sceneOf(pod: Pod, result: Result): Scene {
  const veth = result.interfaces?.find(({ name }) => name.startsWith('tul'))?.name ?? ''
  const [v4 = '', v6 = ''] = (result.ips ?? []).map(({ address }) => address.replace(/\/.*/, ''))
  return { host: pod.host, pod, veth, v4, v6 }
}

async function expectReport(t: Test, mode: Mode, row: Row): Promise<void> {
  await withHost((host) => {
    const pod = host.pod()
    const conf = network(host, mode)
    const left = watchResidue(host, [])
    const result = added(pod, conf)
    t.equal(check(pod, conf, result).code, 0, 'CHECK agrees before')
    const scene = sceneOf(pod, result)
    row.tamper(scene)
    const before = [...picture(host.netns), ...picture(pod.netns)]
    const ran = check(pod, conf, result)
    t.same(errorFaults(ran), [])
    t.equal(refusalOf(ran)?.code, 104)
    t.match(refusalOf(ran)?.details, row.says)
    const after = [...picture(host.netns), ...picture(pod.netns)]
    t.same(difference(before, after), [], 'CHECK only reads')
    row.repair?.(scene)
    deleted(pod, conf)
    t.same(left(), [], 'DEL still leaves nothing')
  })
}

for (const [mode, rows] of [
  ['routed', [...everywhere, ...routed]],
  ['bridge', [...everywhere, ...bridged]],
] as const) {
  t.test(`CHECK, ${mode}`, async (t) => {
    for (const row of rows) await t.test(row.why, (t) => expectReport(t, mode, row))
  })
}

type NftObject = Readonly<Record<string, Json>>
const nftables = (host: Host): readonly NftObject[] => {
  const text = host.netns.exec(['/usr/sbin/nft', '-j', '-a', 'list', 'ruleset']).stdout
  return (JSON.parse(text) as { nftables: NftObject[] }).nftables
}

/** One command per thing in our tables: a rule deleted, a set or map with elements emptied. */
function damages(host: Host): readonly string[] {
  return nftables(host).flatMap(({ rule, set, map, table }) => {
    const of = rule ?? set ?? map
    const where = `${of?.family} ${of?.table}`
    if (rule) return [`delete rule ${where} ${rule.chain} handle ${rule.handle}`]
    if (set?.elem) return [`flush set ${where} ${set.name}`]
    if (map?.elem) return [`flush map ${where} ${map.name}`]
    return table ? [`delete table ${table.family} ${table.name}`] : []
  })
}

for (const mode of modes) {
  t.test(`CHECK, ${mode}: every piece of the ruleset`, (t) =>
    withHost((host) => {
      const pod = host.pod()
      const keys = { nonMasqueradeCIDRs: ['198.51.100.0/24', '2001:db8:1::/48'] }
      const conf = { ...network(host, mode), ...keys }
      added(pod, conf)
      const commands = damages(host)
      deleted(pod, conf)
      t.ok(commands.length > 3, `${commands.length} pieces`)
      for (const index of commands.keys()) {
        const result = added(pod, conf)
        const command = damages(host)[index] ?? ''
        const done = host.netns.exec(['/usr/sbin/nft', command])
        t.equal(done.code, 0, `${command}: ${done.stderr}`)
        const ran = check(pod, conf, result)
        t.same([refusalOf(ran)?.code, errorFaults(ran)], [104, []], `reports ${command}`)
        deleted(pod, conf)
        host.netns.exec(['/usr/sbin/nft', 'flush', 'ruleset'])
      }
    }),
  )
}
