import t, { type Test } from 'tap'
import {
  added,
  ask as askNode,
  check,
  deleted,
  netconf,
  type Result,
  refusalOf,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import { MountSpace } from '../support/mount-space.ts'
import { ask, asked, asOurs } from '../support/named.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { referenceAdded } from '../support/reference.ts'
import { difference, picture } from '../support/residue.ts'
import { errorFaults } from '../support/shape.ts'

t.setTimeout(240_000)

type Keys = Readonly<Record<string, unknown>>

/** tuning's own object of the list; its store is the network's. */
const conf = (host: Host, keys: Keys = {}, version = '1.1.0'): Json => ({
  cniVersion: version,
  name: 'net',
  type: 'tuning',
  dataDir: host.dataDir,
  ...keys,
})
const tuning = (json: Json) => ({ maker: 'ours', name: 'tuning', conf: json }) as const

const network = (host: Host, mode: 'routed' | 'bridge', keys: Json = {}): Json =>
  netconf(host, { mode, families: 'dual', keys })

const linkOf = (netns: Netns, name: string): Json =>
  netns.ipJson('link', 'show', 'dev', name)[0] ?? {}

const sysctlOf = (netns: Netns, name: string): string =>
  netns.exec(['/usr/bin/cat', `/proc/sys/${name.replaceAll('.', '/')}`]).stdout.trim()

const hostLinkOf = ({ interfaces = [] }: Result): string =>
  interfaces.find(({ name }) => /^(veth|tul)/.test(name))?.name ?? ''

/** Everything that tuning may change, of both ends. */
function settings(pod: Pod, hostLink: string): Json {
  const own = linkOf(pod.netns, pod.ifname)
  const flags = own.flags as readonly string[]
  const host = linkOf(pod.host.netns, hostLink)
  return {
    mac: own.address,
    mtu: [own.mtu, host.mtu],
    queue: [own.txqlen, host.txqlen],
    promisc: flags.includes('PROMISC'),
    allmulti: flags.includes('ALLMULTI'),
    somaxconn: sysctlOf(pod.netns, 'net.core.somaxconn'),
    ports: sysctlOf(pod.netns, 'net.ipv4.ip_local_port_range'),
  }
}

const mac = '0a:00:00:00:77:01'
const sysctl = {
  'net.core.somaxconn': 500,
  'net.ipv4.ip_local_port_range': '20000 30000',
  'net.ipv4.conf.IFNAME.arp_filter': '1',
}
const all = { mtu: 1300, promisc: true, allmulti: true, txQLen: 321, sysctl }
const wanted = {
  mtu: [1300, 1300],
  queue: [321, 321],
  promisc: true,
  allmulti: true,
  somaxconn: '500',
  ports: '20000\t30000',
}

type Base = Readonly<{ why: string; add: (pod: Pod, version: '1.0.0' | '1.1.0') => Result }>
const ours = (mode: 'routed' | 'bridge', keys: Json = {}): Base => ({
  why: `our ${mode} network`,
  add: (pod, version) => added(pod, { ...network(pod.host, mode, keys), cniVersion: version }),
})
const bases: readonly Base[] = [
  ours('routed'),
  ours('bridge', { spoofCheck: false }),
  {
    why: 'Debian’s bridge',
    add: (pod) =>
      referenceAdded('bridge', pod, netconf(pod.host, { mode: 'bridge', version: '1.0.0' })),
  },
  {
    why: 'Debian’s ptp',
    add: (pod) =>
      referenceAdded('routed', pod, netconf(pod.host, { mode: 'routed', version: '1.0.0' })),
  },
]

for (const { why, add } of bases) {
  t.test(`behind ${why}: set, checked, told, and taken back`, (t) =>
    withHost((host) => {
      const pod = host.pod()
      const isOurs = why.startsWith('our')
      const version = isOurs ? '1.1.0' : '1.0.0'
      const first = add(pod, version)
      const hostLink = hostLinkOf(first)
      const before = settings(pod, hostLink)
      const own = first.interfaces?.find(({ sandbox }) => sandbox !== undefined)
      const asMac = why === 'our routed network' ? own?.mac : mac
      const call = (prevResult: unknown) =>
        tuning(conf(host, { ...all, mac: asMac, prevResult }, version))
      const result = asked('ADD', pod, call(first))
      t.match(settings(pod, hostLink), { ...wanted, mac: asMac })
      t.equal(sysctlOf(pod.netns, 'net.ipv4.conf.eth0.arp_filter'), '1')
      const told = isOurs ? { mac: asMac, mtu: 1300 } : { mac: asMac }
      t.same(
        result.interfaces?.find(({ name }) => name === pod.ifname),
        { ...own, ...told },
        'the result has them',
      )
      t.same({ ...result, interfaces: [] }, { ...first, interfaces: [] }, 'and all the rest as was')
      asked('CHECK', pod, call(result))
      asked('DEL', pod, call(result))
      asked('DEL', pod, call(result))
      t.same(settings(pod, hostLink), before, 'after DEL')
      t.equal(sysctlOf(pod.netns, 'net.ipv4.conf.eth0.arp_filter'), '0')
    }),
  )
}

t.test('our own CHECK does not mind what tuning has set', (t) =>
  withHost((host) => {
    for (const mode of ['routed', 'bridge'] as const) {
      const pod = host.pod()
      const base = network(host, mode)
      const first = added(pod, base)
      const result = asked('ADD', pod, tuning(conf(host, { ...all, prevResult: first })))
      const checked = check(pod, base, result)
      t.same([checked.code, checked.stdout], [0, ''], mode)
      pod.netns.ip('link', 'set', 'eth0', 'mtu', '1290')
      t.equal(refusalOf(check(pod, base, result))?.code, 104, 'but a change by others')
      asked('DEL', pod, tuning(conf(host, all)))
      deleted(pod, base)
    }
  }),
)

t.test('tulle first in the list: sysctls, modes and queue; MAC and MTU are the wiring’s', (t) =>
  withHost((host) => {
    for (const mode of ['routed', 'bridge'] as const) {
      const pod = host.pod()
      const empty = [host.netns, pod.netns].map(picture)
      const before = sysctlOf(pod.netns, 'net.core.somaxconn')
      const base = network(host, mode, { ...all, mac })
      const result = added(pod, base)
      t.match(settings(pod, hostLinkOf(result)), { ...wanted, mac }, mode)
      const checked = check(pod, base, result)
      t.same([checked.code, checked.stdout], [0, ''], `${mode} CHECK`)
      pod.netns.ip('link', 'set', 'eth0', 'promisc', 'off')
      t.match(refusalOf(check(pod, base, result))?.details, /promiscuous mode off, not on/)
      deleted(pod, base)
      t.equal(sysctlOf(pod.netns, 'net.core.somaxconn'), before, 'the namespace as it was')
      const left = [host.netns, pod.netns].flatMap((netns, at) =>
        difference(empty[at] ?? [], picture(netns)),
      )
      t.same(left, [])
    }
  }),
)

t.test('tulle behind another plugin is tuning too', (t) =>
  withHost((host) => {
    const pod = host.pod()
    const base = netconf(host, { mode: 'bridge', version: '1.0.0' })
    const first = referenceAdded('bridge', pod, base)
    const keys = { ...all, mac, type: 'tulle' }
    const asTulle = (prevResult: Result) => ({ ...conf(host, keys, '1.0.0'), prevResult })
    const result = added(pod, asTulle(first))
    t.match(settings(pod, hostLinkOf(first)), { ...wanted, mac })
    t.equal(check(pod, asTulle(result), result).code, 0)
    deleted(pod, asTulle(result))
  }),
)

const tampered: readonly Readonly<{ ip: readonly string[]; says: RegExp }>[] = [
  {
    ip: ['address', '0a:00:00:00:77:09'],
    says: /has MAC 0a:00:00:00:77:09, not 0a:00:00:00:77:01/,
  },
  { ip: ['mtu', '1400'], says: /pod's eth0 has MTU 1400, not 1300/ },
  { ip: ['promisc', 'off'], says: /promiscuous mode off, not on/ },
  { ip: ['allmulticast', 'off'], says: /all-multicast mode off, not on/ },
  { ip: ['txqueuelen', '7'], says: /transmit queue length 7, not 321/ },
]

t.test('CHECK says what is no longer so; a capture that somebody runs is nobody’s change', (t) =>
  withHost((host) => {
    const pod = host.pod()
    const base = netconf(host, { mode: 'bridge', version: '1.0.0' })
    const first = referenceAdded('bridge', pod, base)
    const call = (prevResult: Result) => tuning(conf(host, { ...all, mac, prevResult }, '1.0.0'))
    const result = asked('ADD', pod, call(first))
    const told = (): string | undefined => refusalOf(ask('CHECK', pod, call(result)))?.details
    const again = (): Result => asked('ADD', pod, call(first))
    for (const { ip, says } of tampered) {
      pod.netns.ip('link', 'set', 'eth0', ...ip)
      t.match(told(), says, ip.join(' '))
      again()
    }
    host.netns.ip('link', 'set', hostLinkOf(first), 'mtu', '1500')
    t.match(told(), /^host end veth\w+ has MTU 1500, not 1300;/)
    again()
    pod.netns.exec(['/bin/sh', '-c', 'echo 600 > /proc/sys/net/core/somaxconn'])
    t.match(told(), /^sysctl net\.core\.somaxconn is "600", not "500";/)
    again()
    t.equal(told(), undefined, 'ADD again, which no DEL came before, has put all right')
    asked('DEL', pod, call(result))
    t.equal(linkOf(pod.netns, 'eth0').mtu, 1500, 'and what was before is still known')
  }),
)

t.test('DEL: no namespace, one that is gone, another one at its path, no interface', (t) =>
  withHost((host) => {
    const base = netconf(host, { mode: 'bridge', version: '1.0.0' })
    const call = (prevResult: Result) =>
      tuning(conf(host, { sysctl, mtu: 1300, prevResult }, '1.0.0'))
    const start = (): { pod: Pod; first: Result } => {
      const pod = host.pod()
      const first = referenceAdded('bridge', pod, base)
      asked('ADD', pod, call(first))
      return { pod, first }
    }
    const none = start()
    asked('DEL', none.pod, call(none.first), { netns: '' })
    t.equal(linkOf(none.pod.netns, 'eth0').mtu, 1300, 'nothing is touched that nobody named')
    const gone = start()
    asked('DEL', gone.pod, call(gone.first), { netns: '/run/netns/tt-gone' })
    const other = start()
    const stranger = makeNetns('stranger')
    try {
      stranger.ip('link', 'add', 'eth0', 'mtu', '1350', 'type', 'veth', 'peer', 'name', 'x')
      asked('DEL', other.pod, call(other.first), { netns: stranger.path })
      t.equal(linkOf(stranger, 'eth0').mtu, 1350, 'what is set there, nobody of us has set')
    } finally {
      stranger.close()
    }
    const bare = start()
    bare.pod.netns.ip('link', 'delete', 'eth0')
    asked('DEL', bare.pod, call(bare.first))
    t.not(sysctlOf(bare.pod.netns, 'net.core.somaxconn'), '500', 'the namespace is as it was')
    const hosts = start()
    asked('DEL', hosts.pod, call(hosts.first), { netns: host.netns.path })
  }),
)

t.test('GC forgets what is not listed, STATUS is well', (t) =>
  withHost((host) => {
    const pod = host.pod()
    const first = referenceAdded('bridge', pod, netconf(host, { mode: 'bridge', version: '1.0.0' }))
    asked('ADD', pod, tuning(conf(host, { ...all, prevResult: { ...first, cniVersion: '1.1.0' } })))
    const ours = asOurs(host, 'tuning')
    for (const verb of ['STATUS', 'GC'] as const) {
      const valid = { 'cni.dev/valid-attachments': [] }
      const ran = askNode(verb, host, conf(host, valid), ours)
      t.same([ran.code, ran.stdout], [0, ''], verb)
    }
    const checked = ask('CHECK', pod, tuning(conf(host, { prevResult: first })))
    t.equal(checked.code, 0, 'nothing is on record any more')
  }),
)

type Refused = Readonly<{ why: string; keys: Keys; code: number; says: RegExp }>
const refusals: readonly Refused[] = [
  {
    why: 'a sysctl that the kernel does not know',
    keys: { sysctl: { 'net.core.nonsense': '1' } },
    code: 7,
    says: /core\/nonsense: ENOENT; the pod's namespace has no net\.core\.nonsense on this/,
  },
  {
    why: 'a value that it does not take',
    keys: { sysctl: { 'net.core.somaxconn': 'many' } },
    code: 7,
    says: /write "many" to \/proc\/sys\/net\/core\/somaxconn: EINVAL; net\.core\.somaxconn does/,
  },
  {
    why: 'a sysctl that is no pod’s to set',
    keys: { sysctl: { 'net.netfilter.nf_conntrack_max': '1' } },
    code: 5,
    says: /nf_conntrack_max: E(PERM|ACCES); net\.netfilter\.nf_conntrack_max belongs to the whole/,
  },
  {
    why: 'a sysctl of the node',
    keys: { sysctl: { 'kernel.panic': '1' } },
    code: 7,
    says: /^sysctl key is "kernel\.panic"/,
  },
  { why: 'no MAC', keys: { mac: 'x' }, code: 7, says: /^mac is "x"/ },
  {
    why: 'an MTU that takes the pod’s IPv6 away',
    keys: { mtu: 1279 },
    code: 7,
    says: /^mtu is 1279; accepted: at least 1280 bytes, as the pod has the IPv6 address fd00:77::/,
  },
]

async function expectRefused(t: Test, { keys, code, says }: Refused): Promise<void> {
  await withHost((host) => {
    const pod = host.pod()
    const first = added(pod, network(host, 'bridge', { spoofCheck: false }))
    const before = settings(pod, hostLinkOf(first))
    const also = { 'net.ipv4.ip_local_port_range': '20000 30000', ...(keys.sysctl as Json) }
    const asks = { ...keys, ...(keys.sysctl ? { sysctl: also } : {}), prevResult: first }
    const ran = ask('ADD', pod, tuning(conf(host, asks)))
    t.same(errorFaults(ran), [])
    t.equal(refusalOf(ran)?.code, code)
    t.match(refusalOf(ran)?.details, says)
    t.same(settings(pod, hostLinkOf(first)), before, 'nothing is left of it')
  })
}
for (const row of refusals) t.test(`refused: ${row.why}`, (t) => expectRefused(t, row))

t.test('a MAC that our own network would let nobody use is refused, with the remedy', (t) =>
  withHost((host) => {
    const modes = [
      { mode: 'routed', spoofCheck: false, isRefused: true },
      { mode: 'bridge', spoofCheck: true, isRefused: true },
      { mode: 'bridge', spoofCheck: false, isRefused: false },
    ] as const
    for (const { mode, spoofCheck, isRefused } of modes) {
      const pod = host.pod()
      const base = network(host, mode, { spoofCheck })
      const first = added(pod, base)
      const own = first.interfaces?.find(({ sandbox }) => sandbox !== undefined)?.mac
      const call = (asks: Json) =>
        ask('ADD', pod, tuning(conf(host, { ...asks, prevResult: first })))
      const why = `${mode}, spoofCheck ${spoofCheck}`
      t.equal(call({ mac: own }).code, 0, `${why}: the one it has`)
      const ran = call({ mac })
      t.equal(refusalOf(ran)?.code, isRefused ? 7 : undefined, `${why}: ${ran.stdout}`)
      if (isRefused) t.match(refusalOf(ran)?.details, /give that plugin the capability "mac"/)
      deleted(pod, base)
    }
  }),
)

t.test('the node’s list of sysctls that pods may have', async (t) => {
  const file = '/etc/cni/tuning/allowlist.conf'
  const line = '^net\\.ipv4\\.conf\\.IFNAME\\.[a-z_]+$'
  const space = await MountSpace.open(
    `mount -t tmpfs none /etc/cni; mkdir /etc/cni/tuning; printf '%s\\n' '${line}' > ${file}`,
  )
  try {
    // Debian's 1.1.1 is older than the list, and allows all
    await withHost((host) => {
      const pod = host.pod()
      const base = netconf(host, { mode: 'bridge', version: '1.0.0' })
      const prevResult = referenceAdded('bridge', pod, base)
      const call = (keys: Json) =>
        ask('ADD', pod, tuning(conf(host, { ...keys, prevResult }, '1.0.0')), {
          wrapper: space.words,
        })
      const fine = call({ sysctl: { 'net.ipv4.conf.IFNAME.arp_filter': '1' } })
      t.equal(fine.code, 0, fine.stdout)
      t.equal(sysctlOf(pod.netns, 'net.ipv4.conf.eth0.arp_filter'), '1')
      const list = { 'net.core.somaxconn': '9' }
      for (const keys of [{ sysctl: list }, { args: { cni: { sysctl: list } } }]) {
        const refusal = refusalOf(call(keys))
        t.equal(refusal?.code, 7)
        t.match(refusal?.details, `sysctl "net.core.somaxconn" is matched by no line of ${file}`)
        t.not(sysctlOf(pod.netns, 'net.core.somaxconn'), '9')
      }
      const none = call({ mtu: 1400 })
      t.equal(none.code, 0, 'it speaks of sysctls alone')
    })
  } finally {
    await space.close()
  }
})
