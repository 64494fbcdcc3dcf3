import { rmSync } from 'node:fs'
import t, { type Test } from 'tap'
import {
  added,
  attach,
  del,
  deleted,
  type Extra,
  type Mode,
  modes,
  netconf,
  type Result,
  type Version,
} from '../support/attachment.ts'
import { type Json, versions } from '../support/cni.ts'
import { type Pod, withHost } from '../support/host.ts'
import { watchResidue } from '../support/residue.ts'

t.setTimeout(240_000)

type Case = Readonly<{
  why: string
  /** The configuration and environment of the DEL, made from those of the ADD. */
  conf?: (conf: Json, result: Result) => Json
  extra?: Extra
  before?: (pod: Pod, mode: Mode) => void
}>

const ipamWith = (conf: Json, keys: Json): Json => ({
  ...conf,
  ipam: { ...(conf.ipam as Json), ...keys },
})

const cases: readonly Case[] = [
  { why: 'with prevResult', conf: (conf, prevResult) => ({ ...conf, prevResult }) },
  { why: 'without prevResult' },
  { why: 'with prevResult null', conf: (conf) => ({ ...conf, prevResult: null }) },
  { why: 'with prevResult that is text', conf: (conf) => ({ ...conf, prevResult: 'broken' }) },
  { why: 'with prevResult that is empty', conf: (conf) => ({ ...conf, prevResult: {} }) },
  {
    why: 'with prevResult of another version',
    conf: (conf) => ({ ...conf, prevResult: { cniVersion: '0.1.0', ip4: { ip: '1.2.3.4/5' } } }),
  },
  {
    why: 'with prevResult of nonsense',
    conf: (conf) => ({
      ...conf,
      prevResult: { cniVersion: 'x', interfaces: 7, ips: [null, { address: [] }] },
    }),
  },
  {
    why: 'with the prevResult of another pod',
    conf: (conf) => ({
      ...conf,
      prevResult: {
        cniVersion: conf.cniVersion,
        interfaces: [{ name: 'up0' }, { name: 'lo', sandbox: '/run/netns/tt-nowhere' }],
        ips: [{ version: '4', address: '192.0.2.1/24', interface: 0 }],
      },
    }),
  },
  { why: 'with an empty netns', extra: { netns: '' } },
  { why: 'with a netns that is gone', before: (pod) => pod.netns.close() },
  { why: 'with a netns path that is no netns', extra: { netns: '/etc/hostname' } },
  { why: 'with the netns of another pod', extra: { netns: 'another' } },
  {
    why: 'with the interface already gone',
    before: (pod) => pod.netns.ip('link', 'del', pod.ifname),
  },
  {
    why: 'with the interface renamed',
    before: (pod) => {
      pod.netns.ip('link', 'set', pod.ifname, 'down')
      pod.netns.ip('link', 'set', pod.ifname, 'name', 'eth9')
    },
  },
  {
    why: 'with the rules flushed',
    before: (pod) => {
      pod.host.netns.exec(['/usr/sbin/nft', 'flush', 'ruleset'])
    },
  },
  {
    why: 'with another subnet',
    conf: (conf) => ipamWith(conf, { ranges: [[{ subnet: '10.99.0.0/24' }]] }),
  },
  { why: 'with no ranges', conf: (conf) => ipamWith(conf, { ranges: undefined }) },
  { why: 'with ranges that are wrong', conf: (conf) => ipamWith(conf, { ranges: 'x' }) },
  { why: 'without masquerade', conf: (conf) => ({ ...conf, ipMasq: false }) },
  { why: 'without spoof guard', conf: (conf) => ({ ...conf, spoofCheck: false }) },
  { why: 'with CNI_ARGS that ADD had not', extra: { args: 'IgnoreUnknown=1;IP=10.1.1.1' } },
  {
    why: 'with a store that is lost',
    before: (pod) => rmSync(pod.host.dataDir, { recursive: true }),
  },
]

async function expectGone(t: Test, mode: Mode, row: Case): Promise<void> {
  await withHost((host) => {
    const [pod, another] = [host.pod(), host.pod()]
    const conf = netconf(host, { mode, families: 'dual', keys: { ipMasq: true } })
    const left = watchResidue(host, [pod.netns, another.netns])
    const result = added(pod, conf)
    row.before?.(pod, mode)
    const asked = row.conf?.(conf, result) ?? conf
    const netns = row.extra?.netns === 'another' ? another.netns.path : row.extra?.netns
    const extra = { ...row.extra, ...(netns === undefined ? {} : { netns }) }
    for (const time of ['first', 'second']) {
      const ran = del(pod, asked, extra)
      t.same([ran.code, ran.stdout], [0, ''], `the ${time} DEL succeeds in silence`)
      t.same(left(), [], `after the ${time} DEL nothing is left`)
    }
  })
}

for (const mode of modes) {
  t.test(`DEL, ${mode}`, async (t) => {
    for (const row of cases) await t.test(row.why, (t) => expectGone(t, mode, row))
  })
}

for (const mode of modes) {
  t.test(`DEL of an id never seen, ${mode}`, (t) =>
    withHost((host) => {
      const [pod, living] = [host.pod(), host.pod()]
      for (const version of versions satisfies readonly Version[]) {
        const conf = netconf(host, { mode, version })
        deleted(pod, conf)
        deleted(pod, conf, { netns: '' })
      }
      const conf = netconf(host, { mode })
      added(living, conf)
      const left = watchResidue(host, [living.netns])
      deleted(pod, conf)
      deleted({ ...living, ifname: 'eth7' }, conf)
      deleted({ ...living, container: 'other' }, conf, { netns: '' })
      deleted(living, { ...conf, name: 'othernet' }, { netns: '' })
      t.same(left(), [], 'a neighbour with another key is not touched')
      t.equal(attach('DEL', living, conf).code, 0)
    }),
  )
}

t.test('DEL of one of two pods leaves the other whole', (t) =>
  withHost((host) => {
    for (const mode of modes) {
      const conf = netconf(host, { mode, name: mode, families: 'dual', keys: { ipMasq: true } })
      const [one, two] = [host.pod(), host.pod()]
      const nothing = watchResidue(host, [one.netns, two.netns])
      added(one, conf)
      const left = watchResidue(host, [one.netns])
      added(two, conf)
      deleted(two, conf)
      t.same(left(), [], `${mode}: as before the second came`)
      deleted(one, conf)
      t.same(nothing(), [], `${mode}: the last one takes tables and bridge with it`)
    }
  }),
)
