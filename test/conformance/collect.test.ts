import { rmSync } from 'node:fs'
import t, { type Test } from 'tap'
import {
  added,
  addressesOf,
  ask,
  check,
  deleted,
  type Mode,
  modes,
  netconf,
  refusalOf,
} from '../support/attachment.ts'
import { type Json, versions } from '../support/cni.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import { leases } from '../support/leases.ts'
import { difference, picture, watchResidue } from '../support/residue.ts'
import { errorFaults } from '../support/shape.ts'

t.setTimeout(240_000)

const valid = 'cni.dev/valid-attachments'
const misnamed = 'cni.dev/attachments'
const listed = (pods: readonly Pod[]): readonly Json[] =>
  pods.map(({ container, ifname }) => ({ containerID: container, ifname }))

/** GC that has to succeed in silence. */
function collect(t: Test, host: Host, conf: Json): void {
  const ran = ask('GC', host, conf)
  t.same([ran.code, ran.stdout], [0, ''], 'GC succeeds in silence')
}

const network = (host: Host, mode: Mode, name = 'net'): Json =>
  netconf(host, { mode, name, families: 'dual', keys: { ipMasq: true, bridge: name } })

function keepsAndRemoves(t: Test, host: Host, mode: Mode, key: string): void {
  const conf = network(host, mode)
  const kept = host.pod()
  const nothing = watchResidue(host, [])
  const result = added(kept, conf)
  const left = watchResidue(host, [kept.netns])
  const [stale, vanished] = [host.pod(), host.pod()]
  const second = { ...stale, ifname: 'net1' }
  added(stale, conf)
  added(vanished, conf)
  if (mode === 'bridge') added(second, conf)
  vanished.netns.close()
  collect(t, host, { ...conf, [key]: listed([kept]) })
  t.same(left(), [], 'all but the listed one are gone')
  t.same(stale.netns.ipJson('link', 'show').length, 1, 'the stale pod has only lo')
  t.equal(check(kept, conf, result).code, 0, 'CHECK agrees with the listed one')
  collect(t, host, { ...conf, [key]: listed([kept]) })
  t.same(left(), [], 'a second GC finds nothing to do')
  deleted(kept, conf)
  t.same(nothing(), [])
}

for (const mode of modes) {
  for (const key of [valid, misnamed]) {
    t.test(`GC, ${mode}: ${key} keeps what is listed`, (t) =>
      withHost((host) => keepsAndRemoves(t, host, mode, key)),
    )
  }

  for (const list of [[], null]) {
    t.test(`GC, ${mode}: ${JSON.stringify(list)} collects everything of that network`, (t) =>
      withHost((host) => {
        const conf = network(host, mode)
        const other = network(host, mode, 'other')
        const [foreign, one, two] = [host.pod(), host.pod(), host.pod()]
        const result = added(foreign, { ...other, ...apart(host) })
        const left = watchResidue(host, [foreign.netns, one.netns, two.netns])
        added(one, conf)
        added(two, conf)
        collect(t, host, { ...conf, [valid]: list })
        t.same(left(), [], 'the other network is as it was')
        t.equal(check(foreign, { ...other, ...apart(host) }, result).code, 0)
      }),
    )
  }

  t.test(`GC, ${mode}: without or with a broken list nothing is touched`, (t) =>
    withHost((host) => {
      const conf = network(host, mode)
      const pod = host.pod()
      added(pod, conf)
      const left = watchResidue(host, [pod.netns])
      const broken = ['x', 7, true, {}, ['x'], [{}], [{ containerID: 7, ifname: 'eth0' }], [null]]
      const asked = [conf, ...broken.map((list) => ({ ...conf, [valid]: list }))]
      for (const one of asked) {
        const ran = ask('GC', host, one)
        const list = JSON.stringify(one[valid])
        t.same(errorFaults(ran), [], `list ${list}`)
        t.equal(refusalOf(ran)?.code, 7, `list ${list}: code`)
        t.match(refusalOf(ran)?.details, valid, `list ${list}: the text names the key`)
      }
      t.same(left(), [])
    }),
  )

  t.test(`GC, ${mode}: the store is lost, the links are found by their alias`, (t) =>
    withHost((host) => {
      const conf = network(host, mode)
      const [kept, stale] = [host.pod(), host.pod()]
      const nothing = watchResidue(host, [kept.netns, stale.netns])
      const held = addressesOf(added(kept, conf))
      const left = watchResidue(host, [kept.netns])
      added(stale, conf)
      rmSync(host.dataDir, { recursive: true })
      collect(t, host, { ...conf, [valid]: listed([kept]) })
      const next = host.pod()
      t.ok(addressesOf(added(next, conf)).every((address) => !held.includes(address)))
      deleted(next, conf)
      t.same(left(), [], 'the stale one is gone, the listed one holds its leases again')
      deleted(kept, conf)
      t.same(nothing(), [])
    }),
  )
}

const apart = (host: Host): Json => ({
  ipam: {
    type: 'host-local',
    dataDir: host.dataDir,
    ranges: [[{ subnet: '10.78.0.0/24' }], [{ subnet: 'fd00:78::/64' }]],
  },
})

t.test('GC leaves alone what does not carry our mark', (t) =>
  withHost((host) => {
    const links = ['tulle0', 'tul0123456789a', 'vethabc']
    for (const [index, name] of links.entries()) {
      host.netns.ip('link', 'add', name, 'type', 'veth', 'peer', 'name', `p${index}`)
    }
    host.netns.ip('link', 'set', 'vethabc', 'alias', 'eth0 net container')
    host.netns.ip('route', 'add', '10.77.0.9/32', 'dev', 'up0', 'proto', '99')
    host.netns.exec(['/usr/sbin/nft', 'add table inet mine; add table inet tulle2'])
    const before = picture(host.netns)
    for (const mode of modes) collect(t, host, { ...network(host, mode), [valid]: [] })
    t.same(difference(before, picture(host.netns)), [])
  }),
)

t.test('GC of a network that never was, and with leases whose link is gone', (t) =>
  withHost((host) => {
    for (const mode of modes) {
      const conf = network(host, mode)
      collect(t, host, { ...conf, [valid]: listed([host.pod()]) })
      const pod = host.pod()
      const nothing = watchResidue(host, [])
      added(pod, conf)
      pod.netns.ip('link', 'del', pod.ifname)
      t.equal(leases(host.dataDir).length, 2, 'the leases are still held')
      collect(t, host, { ...conf, [valid]: [] })
      t.same(nothing(), [])
    }
  }),
)

t.test('GC and STATUS exist from 1.1.0 on', (t) =>
  withHost((host) => {
    const pod = host.pod()
    added(pod, network(host, 'routed'))
    const left = watchResidue(host, [pod.netns])
    for (const cniVersion of versions.filter((version) => version !== '1.1.0')) {
      for (const verb of ['GC', 'STATUS'] as const) {
        const ran = ask(verb, host, { ...network(host, 'routed'), cniVersion, [valid]: [] })
        t.same(errorFaults(ran), [], `${verb} at ${cniVersion}`)
        t.equal(refusalOf(ran)?.code, 1)
      }
    }
    t.same(left(), [])
  }),
)
