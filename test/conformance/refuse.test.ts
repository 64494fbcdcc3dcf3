import t from 'tap'
import {
  add,
  added,
  addressesOf,
  attach,
  deleted,
  type Mode,
  modes,
  netconf,
  refusalOf,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { withHost } from '../support/host.ts'
import { watchResidue } from '../support/residue.ts'
import { errorFaults } from '../support/shape.ts'

t.setTimeout(240_000)

type Row = Readonly<{
  why: string
  mode?: Mode
  keys?: Json
  ipam?: Json
  code: number
  /** Words the text has to have: the key's path, the value. */
  says: readonly string[]
}>

const range = (keys: Json): Json => ({ ranges: [[{ subnet: '10.77.0.0/24', ...keys }]] })

/** Keys of the reference plugins that we know and refuse, rather than ignore in silence. */
const unsupported: readonly Row[] = [
  { why: 'vlan', mode: 'bridge', keys: { vlan: 7 }, code: 2, says: ['vlan', '7'] },
  { why: 'vlanTrunk', mode: 'bridge', keys: { vlanTrunk: [{ id: 7 }] }, code: 2, says: ['vlanT'] },
  {
    why: 'preserveDefaultVlan',
    mode: 'bridge',
    keys: { preserveDefaultVlan: true },
    code: 2,
    says: ['preserveDefaultVlan'],
  },
  { why: 'enabledad', mode: 'bridge', keys: { enabledad: true }, code: 2, says: ['enabledad'] },
  {
    why: 'disableContainerInterface',
    mode: 'bridge',
    keys: { disableContainerInterface: true },
    code: 2,
    says: ['disableContainerInterface'],
  },
  {
    why: 'ipMasqBackend iptables',
    keys: { ipMasq: true, ipMasqBackend: 'iptables' },
    code: 2,
    says: ['ipMasqBackend', 'iptables'],
  },
  {
    why: 'a host port that is none',
    keys: { runtimeConfig: { portMappings: [{ hostPort: 0, containerPort: 80 }] } },
    code: 7,
    says: ['portMappings[0].hostPort is 0'],
  },
  {
    why: 'a host port of an unknown protocol, in containerd’s spelling',
    keys: {
      runtimeConfig: {
        PortMappings: [{ HostPort: 80, ContainerPort: 80, Protocol: 'ICMP', HostIP: '' }],
      },
    },
    code: 7,
    says: ['portMappings[0].protocol is "ICMP"'],
  },
  {
    why: 'conditions of a host port',
    keys: {
      runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: 80 }] },
      conditionsV4: ['-s', '10.0.0.0/8'],
    },
    code: 2,
    says: ['conditionsV4'],
  },
]

const invalid: readonly Row[] = [
  { why: 'an unknown mode', keys: { mode: 'macvlan' }, code: 7, says: ['mode', 'macvlan'] },
  {
    why: 'a negative rate',
    keys: { ingressRate: -1 },
    code: 7,
    says: ['ingressRate', '-1'],
  },
  {
    why: 'a burst without a rate',
    keys: { runtimeConfig: { bandwidth: { EgressBurst: 1000 } } },
    code: 7,
    says: ['runtimeConfig.bandwidth.egressBurst', '1000', 'egressRate'],
  },
  {
    why: 'exempted subnets and limited ones',
    keys: { egressRate: 1e6, shapedSubnets: ['10.0.0.0/8'], unshapedSubnets: ['fd00::/8'] },
    code: 7,
    says: ['shapedSubnets', 'unshapedSubnets'],
  },
  { why: 'a negative MTU', keys: { mtu: -1 }, code: 7, says: ['mtu', '-1'] },
  { why: 'an MTU that is text', keys: { mtu: '1500' }, code: 7, says: ['mtu', '1500'] },
  { why: 'an MTU over 65535', keys: { mtu: 70_000 }, code: 7, says: ['mtu', '70000'] },
  { why: 'ipMasq that is text', keys: { ipMasq: 'yes' }, code: 7, says: ['ipMasq', 'yes'] },
  {
    why: 'a destination that is no CIDR',
    keys: { ipMasq: true, nonMasqueradeCIDRs: ['10.0.0.0/8', '10.0.0/8'] },
    code: 7,
    says: ['nonMasqueradeCIDRs[1]', '10.0.0/8'],
  },
  {
    why: 'hairpin and promisc together',
    mode: 'bridge',
    keys: { hairpinMode: true, promiscMode: true },
    code: 7,
    says: ['hairpinMode', 'promiscMode'],
  },
  {
    why: 'a bridge name too long',
    mode: 'bridge',
    keys: { bridge: 'sixteenletters16' },
    code: 7,
    says: ['bridge', 'sixteenletters16'],
  },
  {
    why: 'a broken MAC',
    keys: { args: { cni: { mac: '02:00' } } },
    code: 7,
    says: ['mac', '02:0'],
  },
  {
    why: 'a multicast MAC',
    keys: { runtimeConfig: { mac: '01:00:5e:00:00:01' } },
    code: 7,
    says: ['mac', '01:00:5e:00:00:01'],
  },
  { why: 'no ranges', ipam: { ranges: [] }, code: 7, says: ['ranges'] },
  { why: 'an empty range set', ipam: { ranges: [[]] }, code: 7, says: ['ranges'] },
  { why: 'host bits', ipam: range({ subnet: '10.77.0.1/24' }), code: 7, says: ['10.77.0.1/24'] },
  { why: 'no subnet', ipam: range({ subnet: undefined }), code: 7, says: ['subnet'] },
  {
    why: 'rangeStart outside',
    ipam: range({ rangeStart: '10.78.0.1' }),
    code: 7,
    says: ['rangeStart', '10.78.0.1'],
  },
  {
    why: 'rangeEnd before rangeStart',
    ipam: range({ rangeStart: '10.77.0.9', rangeEnd: '10.77.0.8' }),
    code: 7,
    says: ['10.77.0.8'],
  },
  {
    why: 'a gateway of the other family',
    ipam: range({ gateway: 'fd00::1' }),
    code: 7,
    says: ['gateway', 'fd00::1'],
  },
  {
    why: 'both families in one set',
    ipam: { ranges: [[{ subnet: '10.77.0.0/24' }, { subnet: 'fd00:77::/64' }]] },
    code: 7,
    says: ['ranges'],
  },
  {
    why: 'overlapping sets',
    ipam: { ranges: [[{ subnet: '10.77.0.0/24' }], [{ subnet: '10.77.0.128/25' }]] },
    code: 7,
    says: ['10.77.0.128/25'],
  },
  {
    why: 'a route to no CIDR',
    ipam: { routes: [{ dst: '10.0.0.300/8' }] },
    code: 7,
    says: ['routes[0].dst', '10.0.0.300/8'],
  },
  {
    why: 'a route’s gateway of the other family',
    ipam: { routes: [{ dst: '10.0.0.0/8', gw: 'fd00::1' }] },
    code: 7,
    says: ['routes[0]', 'fd00::1'],
  },
  { why: 'a resolvConf that is not there', ipam: { resolvConf: '/x/y' }, code: 5, says: ['/x/y'] },
  {
    why: 'a resolvConf that is a directory',
    ipam: { resolvConf: '/etc' },
    code: 5,
    says: ['/etc'],
  },
  { why: 'routed without IPAM', keys: { ipam: {} }, code: 7, says: ['ipam'] },
  { why: 'an IPAM type with a slash', ipam: { type: '../x' }, code: 7, says: ['../x'] },
]

for (const [title, rows] of [
  ['keys that we do not support', unsupported],
  ['keys that are wrong', invalid],
] as const) {
  t.test(title, (t) =>
    withHost((host) => {
      const left = watchResidue(host, [])
      for (const { why, mode, keys, ipam, code, says } of rows) {
        const pod = host.pod()
        const conf = netconf(host, { mode: mode ?? 'routed', keys: keys ?? {}, ipam: ipam ?? {} })
        const ran = add(pod, conf)
        t.same(errorFaults(ran), [], why)
        const refusal = refusalOf(ran)
        t.equal(refusal?.code, code, `${why}: code`)
        const text = `${refusal?.msg} ${refusal?.details}`.toLowerCase()
        const missing = says.filter((word) => !text.includes(word.toLowerCase()))
        t.same(missing, [], `${why}: ${text}`)
      }
      t.same(left(), [], 'nothing was touched')
    }),
  )
}

/** Zero, false and empty values of the same keys ask for nothing: no reason to refuse. */
t.test('the same keys when they ask for nothing', (t) =>
  withHost((host) => {
    const nothing = {
      vlan: 0,
      vlanTrunk: [],
      enabledad: false,
      disableContainerInterface: false,
      ipMasqBackend: 'nftables',
      ipMasq: true,
      mtu: 0,
      runtimeConfig: { portMappings: [], bandwidth: {}, mac: '' },
    }
    for (const mode of modes) {
      const pod = host.pod()
      const conf = netconf(host, { mode, name: mode, keys: nothing, ipam: range({}) })
      t.equal(addressesOf(added(pod, conf)).length, 1, mode)
      deleted(pod, conf)
    }
  }),
)

t.test('a refused configuration does not stop DEL', (t) =>
  withHost((host) => {
    for (const mode of modes) {
      const pod = host.pod()
      const conf = netconf(host, { mode })
      const left = watchResidue(host, [pod.netns])
      added(pod, conf)
      const changed = netconf(host, { mode, keys: { mtu: -1, vlan: 7 }, ipam: { ranges: [] } })
      t.equal(attach('DEL', pod, changed).code, 0, `${mode}: ranges gone, an mtu that is wrong`)
      t.same(left(), [])
    }
  }),
)
