import t from 'tap'
import {
  add,
  added,
  attach,
  check,
  deleted,
  modes,
  netconf,
  type Result,
  refusalOf,
  type Version,
} from '../support/attachment.ts'
import { type Json, versions } from '../support/cni.ts'
import { type Host, withHost } from '../support/host.ts'
import { watchResidue } from '../support/residue.ts'
import { errorFaults } from '../support/shape.ts'

t.setTimeout(240_000)

const chained = ({ dataDir }: Host, cniVersion: string, prevResult: unknown): Json => ({
  cniVersion,
  name: 'net',
  type: 'tulle',
  dataDir,
  prevResult,
})

const withFamily = (version: Version): Json =>
  ['1.0.0', '1.1.0'].includes(version) ? {} : { version: '4' }

/** Results of other plugins, some of them with things that we would never write. */
const foreign: readonly Readonly<{ why: string; result: (version: Version) => Json }>[] = [
  {
    why: 'a bridge plugin’s result',
    result: (version) => ({
      cniVersion: version,
      interfaces: [
        { name: 'cni0', mac: '0a:58:0a:00:00:01' },
        { name: 'veth1', mac: '0a:58:0a:00:00:02' },
        { name: 'eth0', mac: '0a:58:0a:00:00:03', sandbox: '/run/netns/x' },
      ],
      ips: [{ ...withFamily(version), address: '10.1.0.5/16', gateway: '10.1.0.1', interface: 2 }],
      routes: [{ dst: '0.0.0.0/0' }],
      dns: { nameservers: ['10.1.0.1'], search: ['local'] },
    }),
  },
  {
    why: 'no interfaces',
    result: (version) => ({
      cniVersion: version,
      ips: [{ ...withFamily(version), address: '10.1.0.5/16' }],
    }),
  },
  {
    why: 'an index of -1',
    result: (version) => ({
      cniVersion: version,
      interfaces: [{ name: 'eth0', sandbox: '/run/netns/x' }],
      ips: [{ ...withFamily(version), address: '10.1.0.5/16', interface: -1 }],
    }),
  },
  { why: 'nothing but a version', result: (version) => ({ cniVersion: version }) },
  {
    why: 'keys that no specification knows, in an odd order',
    result: (version) => ({
      z: { b: [1, 2, { c: null }], a: 1.5 },
      cniVersion: version,
      ips: [],
      interfaces: [],
      a: 'é\u0000"\\',
    }),
  },
]

t.test('a chained call without ipam and mode hands prevResult on', (t) =>
  withHost((host) => {
    const pod = host.pod()
    const left = watchResidue(host, [pod.netns])
    for (const version of versions.filter((one) => !['0.1.0', '0.2.0'].includes(one))) {
      for (const { why, result } of foreign) {
        const conf = chained(host, version, result(version))
        const ran = add(pod, conf)
        t.equal(ran.code, 0, `${version} ${why}: ${ran.stdout}${ran.stderr}`)
        t.strictSame(JSON.parse(ran.stdout), result(version), `${version} ${why}: unchanged`)
        if (['0.4.0', '1.0.0', '1.1.0'].includes(version)) {
          const checked = attach('CHECK', pod, conf)
          t.same([checked.code, checked.stdout], [0, ''], `${version} ${why}: CHECK`)
        }
        deleted(pod, conf)
        deleted(pod, conf, { netns: '' })
      }
    }
    t.same(left(), [], 'nothing was touched')
  }),
)

t.test('prevResult on an ADD that is to make the interface itself', (t) =>
  withHost((host) => {
    for (const mode of modes) {
      const pod = host.pod()
      const left = watchResidue(host, [pod.netns])
      const prevResult = { cniVersion: '1.1.0', ips: [{ address: '10.1.0.5/16' }] }
      const ran = add(pod, netconf(host, { mode, keys: { prevResult } }))
      t.same(errorFaults(ran), [], mode)
      t.equal(refusalOf(ran)?.code, 7)
      t.match(refusalOf(ran)?.details, 'prevResult')
      t.same(left(), [])
    }
  }),
)

t.test('CHECK needs prevResult, and 0.4.0', (t) =>
  withHost((host) => {
    for (const mode of modes) {
      for (const version of versions) {
        const pod = host.pod()
        const conf = netconf(host, { mode, version, name: mode })
        const prevResult = added(pod, conf)
        const old = ['0.1.0', '0.2.0', '0.3.0', '0.3.1'].includes(version)
        const bare = attach('CHECK', pod, conf)
        t.same(errorFaults(bare), [], `${mode} ${version} without prevResult`)
        t.equal(refusalOf(bare)?.code, old ? 1 : 7, `${mode} ${version} without prevResult: code`)
        const full = check(pod, conf, prevResult)
        t.equal(refusalOf(full)?.code, old ? 1 : undefined, `${mode} ${version} with it`)
        deleted(pod, conf)
      }
    }
  }),
)

type Change = Readonly<{ why: string; result: (mine: Result) => unknown }>

/** What the plugins after us may have made of our result: no reason to find fault. */
const later: readonly Change[] = [
  { why: 'without interfaces', result: ({ interfaces: _, ...rest }) => unindexed(rest, undefined) },
  { why: 'without indexes', result: (mine) => unindexed(mine, undefined) },
  { why: 'with indexes of -1', result: (mine) => unindexed(mine, -1) },
  {
    why: 'with one more interface, as bandwidth adds',
    result: (mine) => ({
      ...mine,
      interfaces: [...(mine.interfaces ?? []), { name: 'bwp123', mac: '02:00:00:00:00:01' }],
    }),
  },
  { why: 'without routes', result: ({ routes: _, ...rest }) => rest },
  {
    why: 'with dns of another plugin',
    result: (mine) => ({ ...mine, dns: { nameservers: ['10.0.0.1'], search: ['x'] } }),
  },
  { why: 'with unknown keys', result: (mine) => ({ ...mine, frob: [1] }) },
]

function unindexed(result: Result, to: number | undefined): unknown {
  const index = to === undefined ? {} : { interface: to }
  const ips = (result.ips ?? []).map(({ interface: _, ...rest }) => ({ ...rest, ...index }))
  return { ...result, ips }
}

t.test('CHECK and DEL with a prevResult that later plugins have changed', (t) =>
  withHost((host) => {
    for (const mode of modes) {
      for (const { why, result } of later) {
        const pod = host.pod()
        const conf = netconf(host, { mode, name: mode, families: 'dual' })
        const left = watchResidue(host, [pod.netns])
        const changed = result(added(pod, conf))
        const ran = check(pod, conf, changed)
        t.same([ran.code, ran.stdout], [0, ''], `${mode} CHECK ${why}`)
        deleted(pod, { ...conf, prevResult: changed })
        t.same(left(), [], `${mode} DEL ${why}`)
      }
    }
  }),
)

t.test('CHECK after tuning has changed the MAC', (t) =>
  withHost((host) => {
    const pod = host.pod()
    // Bridged: a routed pod's MAC is in the host's permanent neighbour entry, and has to stay.
    const conf = netconf(host, { mode: 'bridge', keys: { spoofCheck: false } })
    const result = added(pod, conf)
    const mac = '02:00:00:00:77:01'
    pod.netns.ip('link', 'set', pod.ifname, 'address', mac)
    t.equal(refusalOf(check(pod, conf, result))?.code, 104, 'behind our back: a difference')
    const interfaces = result.interfaces?.map((link) => (link.sandbox ? { ...link, mac } : link))
    t.equal(check(pod, conf, { ...result, interfaces }).code, 0, 'by a plugin of the chain: fine')
    deleted(pod, conf)
  }),
)
