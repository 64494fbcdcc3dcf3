import fc from 'fast-check'
import { test } from 'tap'
import { parseConfig } from '../../src/cni/config.ts'
import { configSchema } from '../../src/cni/schema.ts'
import { holds } from '../base/law.ts'
import { faultOrResult } from '../support/fault-of.ts'

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value)) as unknown

/** Something under every key that is read; nothing of it is refused. */
const full = {
  cniVersion: '1.1.0',
  name: 'net',
  type: 'tulle',
  mode: 'bridge',
  sysctl: { 'net.core.somaxconn': '500' },
  mac: '0a:58:0a:01:00:04',
  mtu: 1400,
  promisc: true,
  allmulti: false,
  txQLen: 500,
  ipMasq: true,
  ipMasqBackend: 'nftables',
  nonMasqueradeCIDRs: ['10.0.0.0/8'],
  spoofCheck: false,
  macspoofchk: false,
  subnetFile: '/s',
  delegate: { type: 'bridge' },
  bridge: 'cni0',
  isGateway: true,
  isDefaultGateway: true,
  forceAddress: true,
  hairpinMode: true,
  promiscMode: false,
  portIsolation: true,
  ingressPolicy: 'same-bridge',
  acceptForward: false,
  backend: 'iptables',
  iptablesAdminChainName: 'ADMIN',
  firewalldZone: 'trusted',
  vlan: 0,
  vlanTrunk: [],
  preserveDefaultVlan: false,
  enabledad: false,
  disableContainerInterface: false,
  snat: true,
  masqAll: true,
  markMasqBit: 13,
  externalSetMarkChain: 'c',
  conditionsV4: [],
  conditionsV6: null,
  refuseBusyPorts: true,
  ingressRate: 1,
  ingressBurst: 2,
  egressRate: 3,
  egressBurst: 4,
  unshapedSubnets: ['10.0.0.0/8'],
  shapedSubnets: ['fd00::/8'],
  bandwidthLatencyMilliseconds: 5,
  dataDir: '/x',
  dns: { nameservers: ['10.0.0.1'], domain: 'd', search: ['s'], options: ['o'] },
  ipam: {
    type: 'host-local',
    ranges: [[{ subnet: '10.1.0.0/24', rangeStart: '10.1.0.2', rangeEnd: '10.1.0.9' }]],
    subnet: '10.2.0.0/24',
    rangeStart: '10.2.0.2',
    rangeEnd: '10.2.0.9',
    gateway: '10.2.0.1',
    routes: [
      { dst: '0.0.0.0/0', gw: '10.2.0.1', mtu: 9, advmss: 8, priority: 7, table: 6, scope: 0 },
    ],
    addresses: [{ address: '10.4.0.5/24', gateway: '10.4.0.1' }],
    dns: { nameservers: ['10.0.0.3'], domain: 'e', search: ['u'], options: ['q'] },
    dataDir: '/y',
    resolvConf: '/z',
  },
  overlay: {
    type: 'vxlan',
    mode: 'auto',
    vni: 1,
    port: 8472,
    mtu: 1400,
    node: 'a',
    nodes: [
      { name: 'a', address: '192.0.2.11', podCIDRs: ['10.1.0.0/24'], mode: 'vxlan' },
      { name: 'b', addresses: ['192.0.2.12'], podCIDRs: ['10.2.0.0/24'] },
    ],
  },
  policy: { enforce: true, waitSeconds: 5, runDir: '/r' },
  runtimeConfig: {
    ips: ['10.1.0.5'],
    mac: '0a:58:0a:01:00:05',
    ipRanges: [[{ subnet: '10.3.0.0/24', gateway: '10.3.0.1' }]],
    dns: { servers: ['10.0.0.2'], searches: ['t'], options: ['p'] },
    portMappings: [{ hostPort: 1, containerPort: 2, protocol: 'tcp', hostIP: '' }],
    bandwidth: { ingressRate: 1 },
    aliases: { net: ['web'] },
    'io.kubernetes.cri.pod-annotations': { 'tulle.dev/mac': '0a:58:0a:01:00:07' },
  },
  args: {
    cni: {
      ips: ['10.1.0.6'],
      sysctl: {},
      mac: '0a:58:0a:01:00:06',
      mtu: 1300,
      promisc: false,
      allmulti: true,
      txQLen: 0,
    },
  },
  'cni.dev/valid-attachments': [{ containerID: 'c1', ifname: 'eth0' }],
  'cni.dev/attachments': [],
}

type Shape = { readonly properties?: Readonly<Record<string, Shape>>; readonly items?: Shape }

/** The same value with every key that the schema knows in letters that `write` chooses. */
function rewritten(
  value: unknown,
  shape: Shape | undefined,
  write: (key: string) => string,
): unknown {
  if (Array.isArray(value)) return value.map((one) => rewritten(one, shape?.items, write))
  if (typeof value !== 'object' || value === null) return value
  const known = shape?.properties ?? {}
  return Object.fromEntries(
    Object.entries(value).map(([key, child]) => [
      key in known ? write(key) : key,
      rewritten(child, known[key], write),
    ]),
  )
}

test('the sample holds every top-level key that there is', async (t) => {
  t.strictSame(Object.keys(full).sort(), Object.keys(configSchema.properties).sort())
})

test('keys are read alike in whatever case', async (t) => {
  const want = plain(parseConfig(JSON.stringify(full)))
  t.strictSame(want, full, 'the exact ones first')
  holds(
    t,
    fc.property(fc.infiniteStream(fc.boolean()), (coins) => {
      const letter = (one: string): string => (coins.next().value ? one.toUpperCase() : one)
      const write = (key: string): string => [...key].map(letter).join('')
      const text = JSON.stringify(rewritten(full, configSchema as Shape, write))
      const got = plain(parseConfig(text))
      if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(text)
    }),
    50,
  )
})

test('whatever stands under unknown keys comes out as it went in', async (t) => {
  const unknown = fc.string().map((text) => `x-${text}`)
  holds(
    t,
    fc.property(fc.dictionary(unknown, fc.jsonValue()), (more) => {
      const got = plain(parseConfig(JSON.stringify({ name: 'net', ...more })))
      const want = plain({ name: 'net', ...more, cniVersion: '0.1.0' })
      if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(JSON.stringify(got))
    }),
  )
})

test('whatever text comes, it is read or refused with code 1, 6 or 7 and a remedy', async (t) => {
  const keys = fc.constantFrom(...Object.keys(full), '__proto__', 'constructor', 'IPAM', '')
  const near = fc.dictionary(keys, fc.oneof(fc.jsonValue(), fc.constantFrom('n', 'net', null)))
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    near.map((value) => JSON.stringify(value)),
    fc.constantFrom('{"name":"net"}', '{"cniVersion":"9"}', '{}', '['),
  )
  const reached = new Set<number | 'read'>()
  holds(
    t,
    fc.property(text, (input) => {
      const outcome = faultOrResult(() => parseConfig(input))
      reached.add('fault' in outcome ? outcome.fault.code : 'read')
      if (!('fault' in outcome)) return
      const { code, message, details } = outcome.fault
      if (![1, 6, 7].includes(code) || message === '' || details === '') throw new Error(input)
    }),
    1000,
  )
  t.strictSame([...reached].sort(), [1, 6, 7, 'read'], 'all of them were met')
})

test('a value of the wrong type under any key is refused or read, and never a bug', async (t) => {
  const key = fc.constantFrom(...Object.keys(full))
  holds(
    t,
    fc.property(key, fc.jsonValue(), (name, value) => {
      faultOrResult(() => parseConfig(JSON.stringify({ ...full, [name]: value })))
    }),
    500,
  )
})
