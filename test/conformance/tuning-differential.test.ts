import t, { type Test } from 'tap'
import { netconf, type Result } from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Pod, withHost } from '../support/host.ts'
import { type Asked, ask, asked, type Maker } from '../support/named.ts'
import type { Netns } from '../support/netns.ts'
import { referenceAdded, referenceDeleted } from '../support/reference.ts'
import { compare, type Difference, lookAt, type Seen } from '../support/seen.ts'

t.setTimeout(240_000)

// The same chain, bridge and host-local of the reference and then tuning, once theirs and once
// ours: the result, both ends of the veth, the sysctls; after ADD, and after tuning's own DEL.

type Wanted = Readonly<{ when: 'added' | 'deleted'; field: RegExp; ours: RegExp; reason: string }>

/** Every way in which we want to differ from the reference; anything else is a fault. */
const wanted: readonly Wanted[] = [
  {
    when: 'added',
    field: /^host\.(veth|bridge)\.mtu$/,
    ours: /^1300$/,
    reason:
      'the host end has the MTU of the pod’s (plugins#352: one that is larger loses packets in ' +
      'silence); a bridge without an MTU of its own has the least of its ports’',
  },
  {
    when: 'added',
    field: /^host\.veth\.txqlen$/,
    ours: /^321$/,
    reason: 'the host end queues what goes to the pod: who asks for a queue means both',
  },
  {
    when: 'added',
    field: /^pod\.txqlen$/,
    ours: /^321$/,
    reason: 'Debian’s 1.1.1 does not know txQLen yet; the newest does',
  },
  {
    when: 'added',
    field: /^result\.interfaces\[2\]\.mac$/,
    ours: /^"POD-MAC"$/,
    reason: 'as the kernel shows it; the reference repeats the configuration’s letters',
  },
  {
    when: 'deleted',
    field: /^sysctl /,
    ours: /./,
    reason: 'sysctls go back too: a namespace may live longer than the attachment',
  },
]

const mac = '0a:00:00:00:77:01'
const sysctls = ['net.core.somaxconn', 'net.ipv4.conf.eth0.rp_filter', 'net.ipv4.ip_default_ttl']

type Case = Readonly<{ why: string; keys: Json; args?: string }>
const cases: readonly Case[] = [
  { why: 'nothing', keys: {} },
  {
    why: 'sysctls with dots and slashes, and IFNAME',
    keys: {
      sysctl: { 'net.core.somaxconn': '500', 'net/ipv4/conf/IFNAME/rp_filter': '2' },
    },
  },
  {
    why: 'a sysctl of args.cni over one',
    keys: {
      sysctl: { 'net.core.somaxconn': '500' },
      args: { cni: { sysctl: { 'net.core.somaxconn': '600' } } },
    },
  },
  { why: 'mac', keys: { mac } },
  { why: 'a MAC in capitals', keys: { mac: mac.toUpperCase() } },
  {
    why: 'MAC of CNI_ARGS',
    keys: { mac: '0a:00:00:00:77:02' },
    args: `IgnoreUnknown=1;MAC=${mac}`,
  },
  {
    why: 'the capability over CNI_ARGS',
    keys: { runtimeConfig: { mac } },
    args: 'MAC=0a:00:00:00:77:02',
  },
  {
    why: 'args.cni over the capability',
    keys: { runtimeConfig: { mac: '0a:00:00:00:77:02' }, args: { cni: { mac } } },
  },
  { why: 'mtu', keys: { mtu: 1300 } },
  { why: 'promisc', keys: { promisc: true } },
  {
    why: 'promisc, taken back by args.cni',
    keys: { promisc: true, args: { cni: { promisc: false } } },
  },
  { why: 'allmulti', keys: { allmulti: true } },
  { why: 'allmulti off', keys: { allmulti: false } },
  { why: 'txQLen', keys: { txQLen: 321 } },
  {
    why: 'everything',
    keys: {
      mac,
      mtu: 1300,
      promisc: true,
      allmulti: true,
      sysctl: { 'net.ipv4.ip_default_ttl': '9' },
    },
  },
]

const linkOf = (netns: Netns, name: string): Json =>
  netns.ipJson('link', 'show', 'dev', name)[0] ?? {}

/** What seen.ts leaves out: what tuning sets. */
function tuned(pod: Pod, result: Result): Seen {
  const seen = new Map(lookAt(pod, result))
  const veth = result.interfaces?.[1]?.name ?? ''
  const own = linkOf(pod.netns, pod.ifname)
  seen.set('pod.txqlen', String(own.txqlen))
  seen.set('pod.mac', own.address === mac ? 'the one that is asked for' : 'another')
  seen.set('host.veth.txqlen', String(linkOf(pod.host.netns, veth).txqlen))
  for (const name of sysctls) {
    const path = `/proc/sys/${name.replaceAll('.', '/')}`
    seen.set(`sysctl ${name}`, pod.netns.exec(['/usr/bin/cat', path]).stdout)
  }
  return seen
}

type Looks = Readonly<{ added: Seen; deleted: Seen; before: Seen; checkCode: number }>

async function looksOf(maker: Maker, { keys, args }: Case): Promise<Looks> {
  let looks: Looks | undefined
  await withHost((host) => {
    const pod = host.pod()
    const base = netconf(host, { mode: 'bridge', families: 'dual', version: '1.0.0' })
    const first = referenceAdded('bridge', pod, base)
    const before = tuned(pod, first)
    const dataDir = `${host.directory}/tuning`
    const tuning = { cniVersion: '1.0.0', name: 'net', type: 'tuning', dataDir, ...keys }
    const call = (prevResult: Result): Asked => ({
      maker,
      name: 'tuning',
      conf: { ...tuning, prevResult },
    })
    const more = args === undefined ? {} : { args }
    const result = asked('ADD', pod, call(first), more)
    const added = tuned(pod, result)
    const checkCode = ask('CHECK', pod, call(result), more).code
    asked('DEL', pod, call(result), more)
    looks = { before, added, checkCode, deleted: tuned(pod, first) }
    referenceDeleted('bridge', pod, base)
  })
  if (!looks) throw new Error('Cannot look: the host was not lent')
  return looks
}

const met = new Set<Wanted>()

function unlisted(when: 'added' | 'deleted', found: readonly Difference[]): readonly Difference[] {
  return found.filter(({ path, ours }) => {
    const entry = wanted.find(
      (one) => one.when === when && one.field.test(path) && one.ours.test(ours),
    )
    if (entry) met.add(entry)
    return entry === undefined
  })
}

/** The reference compares the configuration's texts: capitals and IFNAME are faults to it. */
const isRefusedByReference = /capitals|IFNAME/

async function expectSame(t: Test, row: Case): Promise<void> {
  const reference = await looksOf('reference', row)
  const ours = await looksOf('ours', row)
  t.ok(reference.added.size > 30, `${reference.added.size} facts`)
  t.ok(reference.added.has('host.veth.mtu'))
  t.same(unlisted('added', compare(reference.added, ours.added)), [], 'after ADD')
  t.same(unlisted('deleted', compare(reference.deleted, ours.deleted)), [], 'after DEL')
  t.same(compare(ours.before, ours.deleted), [], 'ours leaves nothing')
  t.equal(ours.checkCode, 0, 'CHECK right after ADD')
  t.equal(reference.checkCode, isRefusedByReference.test(row.why) ? 1 : 0, "the reference's CHECK")
}

for (const row of cases) t.test(row.why, (t) => expectSame(t, row))

t.test('every listed difference is still one', async (t) => {
  t.same(
    wanted.filter((one) => !met.has(one)).map(({ field, reason }) => `${field}: ${reason}`),
    [],
  )
})
