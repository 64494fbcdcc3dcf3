import t, { type Test } from 'tap'
import {
  add,
  added,
  addressesOf,
  deleted,
  type Mode,
  modes,
  netconf,
  refusalOf,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Host, makeHost, type Pod, withHost } from '../support/host.ts'
import { leases } from '../support/leases.ts'
import { watchResidue } from '../support/residue.ts'
import { errorFaults } from '../support/shape.ts'

t.setTimeout(240_000)

const network = (host: Host, ranges: readonly (readonly Json[])[], mode: Mode = 'routed'): Json =>
  netconf(host, { mode, ipam: { ranges } })

/** Adds pods until the pool is full: the addresses in the order in which they were given. */
function fill(t: Test, host: Host, conf: Json): readonly (readonly [Pod, string])[] {
  const given: (readonly [Pod, string])[] = []
  for (;;) {
    const pod = host.pod()
    const ran = add(pod, conf)
    if (ran.code !== 0) {
      t.same(errorFaults(ran), [])
      t.equal(refusalOf(ran)?.code, 102, 'the pool is full')
      return given
    }
    given.push([pod, addressesOf(JSON.parse(ran.stdout))[0] ?? ''])
  }
}

const small = [
  { why: '/30', ranges: [[{ subnet: '10.77.0.0/30' }]], all: ['10.77.0.2'] },
  { why: '/31', ranges: [[{ subnet: '10.77.0.0/31' }]], all: ['10.77.0.0', '10.77.0.1'] },
  { why: '/32', ranges: [[{ subnet: '10.77.0.9/32' }]], all: ['10.77.0.9'] },
  { why: '/127', ranges: [[{ subnet: 'fd00:77::/127' }]], all: ['fd00:77::', 'fd00:77::1'] },
  { why: '/128', ranges: [[{ subnet: 'fd00:77::9/128' }]], all: ['fd00:77::9'] },
  { why: '/126', ranges: [[{ subnet: 'fd00:77::/126' }]], all: ['fd00:77::2', 'fd00:77::3'] },
  {
    why: 'a gateway in the middle is never leased',
    ranges: [[{ subnet: '10.77.0.0/29', gateway: '10.77.0.3' }]],
    all: ['10.77.0.1', '10.77.0.2', '10.77.0.4', '10.77.0.5', '10.77.0.6'],
  },
  {
    why: 'rangeStart and rangeEnd',
    ranges: [[{ subnet: '10.77.0.0/16', rangeStart: '10.77.9.254', rangeEnd: '10.77.10.1' }]],
    all: ['10.77.9.254', '10.77.9.255', '10.77.10.0', '10.77.10.1'],
  },
  {
    why: 'alternatives in a set, used one after the other',
    ranges: [[{ subnet: '10.77.0.0/30' }, { subnet: '10.78.0.0/30' }]],
    all: ['10.77.0.2', '10.78.0.2'],
  },
]

for (const { why, ranges, all } of small) {
  t.test(`pool ${why}`, (t) =>
    withHost((host) => {
      const conf = network(host, ranges)
      const given = fill(t, host, conf)
      t.same(
        given.map(([, address]) => address),
        all,
      )
      const [first] = given
      if (first) deleted(first[0], conf)
      t.equal(add(host.pod(), conf).code, 0, 'a released address can be had again')
    }),
  )
}

t.test('a pod that gets one of two families gets none', (t) =>
  withHost((host) => {
    for (const mode of modes) {
      const ranges = [[{ subnet: '10.77.0.0/30' }], [{ subnet: 'fd00:77::/64' }]]
      const conf = { ...network(host, ranges, mode), name: mode }
      const holder = host.pod()
      added(holder, conf)
      const pod = host.pod()
      const left = watchResidue(host, [pod.netns])
      const ran = add(pod, conf)
      t.equal(refusalOf(ran)?.code, 102)
      t.match(refusalOf(ran)?.details, '10.77.0')
      t.same(left(), [], 'no IPv6 lease is held, no interface made')
      deleted(holder, conf)
    }
  }),
)

t.test('a released address is used last, the one released longest ago first', (t) =>
  withHost((host) => {
    const conf = network(host, [[{ subnet: '10.77.0.0/29' }]])
    const leased = (): readonly [Pod, string] => {
      const pod = host.pod()
      return [pod, addressesOf(added(pod, conf))[0] ?? '']
    }
    const [one, two] = [leased(), leased()]
    deleted(two[0], conf)
    deleted(one[0], conf)
    const fresh = [leased(), leased(), leased()].map(([, address]) => address)
    t.same(fresh, ['10.77.0.4', '10.77.0.5', '10.77.0.6'], 'never used ones first')
    t.equal(leased()[1], two[1], 'then the one that was released first')
    t.equal(leased()[1], one[1], 'then the other')
  }),
)

t.test('networks of one data directory lease on their own', (t) =>
  withHost((host) => {
    // host-local keeps a directory a network: two networks may use one subnet, each on its bridge
    const given = ['cni0', 'cni1'].map((bridge) => {
      const keys = { bridge, isGateway: false }
      return addressesOf(added(host.pod(), netconf(host, { mode: 'bridge', name: bridge, keys })))
    })
    t.same(given[0], given[1])
  }),
)

t.test('another life of the node: leases of the one before are swept', async (t) => {
  await withHost(async (host) => {
    const conf = network(host, [[{ subnet: '10.77.0.0/29' }]])
    fill(t, host, conf)
    // another network namespace has another cookie, as after a reboot
    const next = makeHost()
    try {
      const pod = next.pod()
      t.equal(addressesOf(added(pod, conf)).length, 1, 'the pool is free again')
      t.equal(leases(host.dataDir).length, 1)
      deleted(pod, conf)
      t.equal(leases(host.dataDir).length, 0)
    } finally {
      next.close()
    }
  })
})

t.test('the default data directory', (t) =>
  withHost((host) => {
    const { dataDir: _, ...ipam } = netconf(host, { mode: 'routed' }).ipam as Json
    const conf = { ...netconf(host, { mode: 'routed' }), dataDir: undefined, ipam }
    const mount = 'mount -t tmpfs none /var/lib/cni && "$@" && ls /var/lib/cni/tulle >&2'
    const prepare = 'mkdir -p /var/lib/cni && '
    const wrapper = ['/usr/bin/unshare', '-m', '/bin/sh', '-c', prepare + mount, 'sh']
    const ran = add(host.pod(), conf, { wrapper, env: { PATH: '/usr/bin:/bin' } })
    t.equal(ran.code, 0, ran.stdout)
    t.match(ran.stderr, 'tulle.db')
  }),
)
