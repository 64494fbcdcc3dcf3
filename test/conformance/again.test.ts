import t, { type Test } from 'tap'
import {
  add,
  added,
  addressesOf,
  check,
  deleted,
  type Mode,
  modes,
  netconf,
  refusalOf,
} from '../support/attachment.ts'
import { type Host, withHost } from '../support/host.ts'
import { leases } from '../support/leases.ts'
import { watchResidue } from '../support/residue.ts'
import { errorFaults } from '../support/shape.ts'

t.setTimeout(240_000)

/** Nomad and podman repeat an ADD without a DEL: the first attachment has to survive it. */
function addTwice(t: Test, host: Host, mode: Mode): void {
  const pod = host.pod()
  const conf = netconf(host, { mode, families: 'dual', keys: { ipMasq: true } })
  const untouched = watchResidue(host, [pod.netns])
  const result = added(pod, conf)
  const first = watchResidue(host, [pod.netns])
  for (const time of ['second', 'third']) {
    const ran = add(pod, conf)
    t.same(errorFaults(ran), [], `the ${time} ADD`)
    t.equal(refusalOf(ran)?.code, 101)
    t.match(refusalOf(ran)?.details, pod.ifname)
    t.same(first(), [], `the ${time} ADD changes nothing`)
  }
  t.equal(check(pod, conf, result).code, 0, 'CHECK agrees with the first')
  deleted(pod, conf)
  t.same(untouched(), [])
}

/** Somebody else's interface of that name: refused, and neither it nor a lease is harmed. */
function addOnForeignInterface(t: Test, host: Host, mode: Mode): void {
  const pod = host.pod()
  const conf = netconf(host, { mode })
  pod.netns.ip('link', 'add', pod.ifname, 'type', 'veth', 'peer', 'name', 'other')
  const left = watchResidue(host, [pod.netns])
  const ran = add(pod, conf)
  t.same(errorFaults(ran), [])
  t.equal(refusalOf(ran)?.code, 101)
  t.same(left(), [], 'the foreign interface is as it was')
  deleted(pod, conf)
  t.same(left(), [], 'DEL does not take what is not ours')
}

/** One container, two interfaces and two networks: the key is (network, container, ifname). */
function addSecondInterface(t: Test, host: Host, mode: Mode): void {
  const pod = host.pod()
  const other = { ...pod, ifname: 'net1' }
  const conf = netconf(host, { mode })
  const second = netconf(host, {
    mode,
    name: 'net2',
    keys: mode === 'bridge' ? { bridge: 'cni1' } : {},
    ipam: { ranges: [[{ subnet: '10.78.0.0/24' }]], routes: [{ dst: '198.51.100.0/24' }] },
  })
  const left = watchResidue(host, [pod.netns])
  const result = added(pod, conf)
  const more = added(other, second)
  t.match(addressesOf(more)[0], /^10\.78\.0\./)
  t.equal(leases(host.dataDir).length, 2)
  t.equal(check(pod, conf, result).code, 0)
  deleted(other, second)
  t.equal(check(pod, conf, result).code, 0, 'DEL of the one leaves the other')
  t.same(leases(host.dataDir), addressesOf(result))
  deleted(pod, conf)
  t.same(left(), [])
}

/**
 * Two interfaces of one network in one container. On a bridge they are two leases, each with a life
 * of its own. Routed, the pod has one way to the gateway already: refused, as the reference ptp
 * does, and nothing of the second is left.
 */
function addSameNetworkTwice(t: Test, host: Host, mode: Mode): void {
  const pod = host.pod()
  const other = { ...pod, ifname: 'net1' }
  const conf = netconf(host, { mode })
  const left = watchResidue(host, [pod.netns])
  const result = added(pod, conf)
  const first = watchResidue(host, [pod.netns])
  const ran = add(other, conf)
  if (ran.code === 0) {
    t.not(addressesOf(result)[0], addressesOf(JSON.parse(ran.stdout))[0])
    deleted(other, conf)
  } else {
    t.equal(mode, 'routed')
    t.same(errorFaults(ran), [])
  }
  t.same(first(), [], 'the first is as it was')
  t.equal(check(pod, conf, result).code, 0)
  deleted(pod, conf)
  t.same(left(), [])
}

for (const mode of modes) {
  t.test(mode, async (t) => {
    for (const [title, body] of [
      ['ADD twice', addTwice],
      ['ADD on an existing interface', addOnForeignInterface],
      ['two networks for one container', addSecondInterface],
      ['one network twice for one container', addSameNetworkTwice],
    ] as const) {
      await t.test(title, (t) => withHost((host) => body(t, host, mode)))
    }
  })
}

t.test('a foreign link on the host that bears the name of our veth', (t) =>
  withHost((host) => {
    const pod = host.pod()
    const conf = netconf(host, { mode: 'routed' })
    const name = added(pod, conf).interfaces?.[0]?.name ?? ''
    deleted(pod, conf)
    host.netns.ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'other')
    const left = watchResidue(host, [pod.netns])
    const ran = add(pod, conf)
    t.same(errorFaults(ran), [])
    t.ok([101, 106].includes(refusalOf(ran)?.code ?? 0), ran.stdout)
    t.same(left(), [], 'it stays, and no lease is held')
    deleted(pod, conf)
    t.same(left(), [], 'DEL does not remove it either: it does not carry our alias')
  }),
)
