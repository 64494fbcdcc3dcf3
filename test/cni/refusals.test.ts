import { test } from 'tap'
import { parseConfig } from '../../src/cni/config.ts'
import { configSchema } from '../../src/cni/schema.ts'
import { faultOf } from '../support/fault-of.ts'

type Refused = readonly [path: string, value: unknown, accepted: string]

const flag = 'true or false'
const text = 'a string'
const network = 'a network such as "10.244.1.0/24"'
const address = 'an IP address such as "10.244.1.1"'
const lists = 'a list of strings'
const sets = 'a list of range sets such as [[{"subnet": "10.244.1.0/24"}]]'
const range = 'a range: {"subnet": "10.244.1.0/24"}, with rangeStart, rangeEnd, gateway if wanted'
const mac = 'a MAC address such as "0a:58:0a:f4:01:05"'
const mtu = '0 (automatic), or 68 to 65535 bytes (1280 at least with IPv6)'
const port = 'a port, 1 to 65535'
const bytes = 'bytes, 0 to 65535'
const attachments = 'a list of {"containerID": …, "ifname": …}'
const attachment = 'an object with containerID and ifname'

/** A key with dots of its own. */
const annotations = 'io.kubernetes.cri.pod-annotations'

const rangeRows = (path: string): readonly Refused[] => [
  [path, {}, sets],
  [`${path}[0]`, [], 'a non-empty list of ranges'],
  [`${path}[0]`, null, 'a non-empty list of ranges'],
  [`${path}[0][0]`, '10.1.0.0/24', range],
  [`${path}[0][0].subnet`, undefined, network],
  [`${path}[0][0].subnet`, '', network],
  [`${path}[0][0].subnet`, 10, network],
  [`${path}[0][0].rangeStart`, 10, address],
  [`${path}[0][0].rangeEnd`, 10, address],
  [`${path}[0][0].gateway`, 10, address],
]
const listRows = (path: string): readonly Refused[] => [
  [path, 'one', lists],
  [`${path}[0]`, 1, text],
]
const rate = 'bits per second, 0 (no limit) to 10^15'
const burst = 'bits, 0 (not said) to 34359738359'
const networks = 'a list of networks such as ["10.0.0.0/8", "fd00::/8"]'
const bandwidthRows = (path: string): readonly Refused[] => [
  ...['ingressRate', 'egressRate'].flatMap((key): Refused[] => [
    [path + key, -1, rate],
    [path + key, 0.5, rate],
    [path + key, 1e15 + 1, rate],
    [path + key, '1000', rate],
  ]),
  ...['ingressBurst', 'egressBurst'].flatMap((key): Refused[] => [
    [path + key, -1, burst],
    [path + key, 1000.5, burst],
    [path + key, 34359738360, burst],
  ]),
  ...['unshapedSubnets', 'shapedSubnets'].flatMap((key): Refused[] => [
    [path + key, '10.0.0.0/8', networks],
    [`${path}${key}[0]`, 1, 'a network such as "10.0.0.0/8"'],
  ]),
]
const attachmentRows = (path: string): readonly Refused[] => [
  [path, {}, attachments],
  [`${path}[0]`, 'c1', attachment],
  [`${path}[0].containerID`, undefined, 'a container id'],
  [`${path}[0].containerID`, 1, 'a container id'],
  [`${path}[0].ifname`, 1, 'an interface name'],
]
const tuningRows = (before: string): readonly Refused[] => [
  [`${before}sysctl`, [], 'an object of sysctls such as {"net.core.somaxconn": "500"}'],
  [`${before}mac`, 1, mac],
  [`${before}mtu`, 67, mtu],
  [`${before}mtu`, 65536, mtu],
  [`${before}mtu`, 1400.5, mtu],
  [`${before}mtu`, '1400', mtu],
  [`${before}promisc`, 1, flag],
  [`${before}allmulti`, 'on', flag],
  [`${before}txQLen`, -1, 'packets, 0 to 4294967295'],
]

const overlay = 'an overlay: {"type": "vxlan", "nodes": […]}, with mode, vni, port, mtu, node'
const overlayNode =
  'a node: {"name": "a", "address": "192.0.2.11", "podCIDRs": ["10.244.1.0/24"]}, ' +
  'with mode if wanted'
const overlayMode = '"auto", "vxlan" or "direct"'
const vni = 'a VXLAN network identifier, 1 to 16777215'
const podCIDRs = 'a non-empty list of networks such as ["10.244.1.0/24"]'
const overlayRows: readonly Refused[] = [
  ['overlay', 'vxlan', overlay],
  ['overlay.type', undefined, '"vxlan"'],
  ['overlay.type', 'geneve', '"vxlan"'],
  ['overlay.mode', 'bgp', overlayMode],
  ['overlay.vni', 0, vni],
  ['overlay.vni', 16_777_216, vni],
  ['overlay.port', 0, 'a UDP port, 1 to 65535'],
  ['overlay.port', 65536, 'a UDP port, 1 to 65535'],
  ['overlay.mtu', 67, '68 to 65535 bytes (1280 at least with IPv6)'],
  ['overlay.node', '', 'the name of a node'],
  ['overlay.nodes', undefined, 'a non-empty list of nodes'],
  ['overlay.nodes', [], 'a non-empty list of nodes'],
  ['overlay.nodes[0]', 'a', overlayNode],
  ['overlay.nodes[0].name', undefined, 'the name of a node'],
  ['overlay.nodes[0].name', '', 'the name of a node'],
  ['overlay.nodes[0].address', 1, 'an IP address such as "192.0.2.11"'],
  ['overlay.nodes[0].addresses', '192.0.2.11', 'a list of IP addresses'],
  ['overlay.nodes[0].addresses[0]', 1, 'an IP address such as "192.0.2.11"'],
  ['overlay.nodes[0].podCIDRs', undefined, podCIDRs],
  ['overlay.nodes[0].podCIDRs', [], podCIDRs],
  ['overlay.nodes[0].podCIDRs[0]', 1, network],
  ['overlay.nodes[0].mode', 'bgp', overlayMode],
]

const policy = 'an object such as {"enforce": true, "waitSeconds": 5}'
const seconds = 'seconds, 0 to 60'
const policyRows: readonly Refused[] = [
  ['policy', true, policy],
  ['policy', [], policy],
  ['policy.enforce', undefined, flag],
  ['policy.enforce', 'true', flag],
  ['policy.waitSeconds', -0.001, seconds],
  ['policy.waitSeconds', 60.001, seconds],
  ['policy.waitSeconds', '5', seconds],
  ['policy.runDir', 'run', 'an absolute path'],
  ['policy.runDir', '', 'an absolute path'],
]

const rows: readonly Refused[] = [
  ...overlayRows,
  ...policyRows,
  ['type', 1, "the plugin's name"],
  ['mode', 'macvlan', '"routed" or "bridge"'],
  ['mode', true, '"routed" or "bridge"'],
  ['ipMasq', 'yes', flag],
  ['ipMasqBackend', 1, '"nftables"'],
  ['nonMasqueradeCIDRs', '10.0.0.0/8', 'a list of networks such as ["10.0.0.0/8", "fd00::/8"]'],
  ['nonMasqueradeCIDRs[0]', 1, 'a network such as "10.0.0.0/8"'],
  ['spoofCheck', 0, flag],
  ['macspoofchk', 0, flag],
  ['subnetFile', 'subnet.env', 'an absolute path'],
  ['delegate', 'bridge', 'an object, the plugin that flannel calls'],
  ['bridge', 'sixteen-letters!', 'an interface name, 1 to 15 bytes'],
  ['bridge', 'ééééééééé', 'an interface name, 1 to 15 bytes'],
  ['bridge', '', 'an interface name, 1 to 15 bytes'],
  ['bridge', '..', 'an interface name, 1 to 15 bytes'],
  ['bridge', 'a/b', 'an interface name, 1 to 15 bytes'],
  ['isGateway', 'true', flag],
  ['isDefaultGateway', 1, flag],
  ['forceAddress', 1, flag],
  ['hairpinMode', 1, flag],
  ['promiscMode', 1, flag],
  ['portIsolation', 1, flag],
  ['ingressPolicy', 'closed', '"open", "same-bridge" or "isolated"'],
  ['ingressPolicy', 1, '"open", "same-bridge" or "isolated"'],
  ['acceptForward', 'yes', flag],
  ['iptablesAdminChainName', 1, 'the name of a chain'],
  ['firewalldZone', [], 'the name of a zone'],
  ['vlan', 4095, 'a VLAN id, 0 to 4094'],
  ['vlan', -1, 'a VLAN id, 0 to 4094'],
  ['vlanTrunk', {}, 'a list of VLAN ids'],
  ['preserveDefaultVlan', 1, flag],
  ['enabledad', 1, flag],
  ['disableContainerInterface', 1, flag],
  ['dataDir', 1, 'an absolute path'],
  ['dns', [], 'an object with nameservers, domain, search, options'],
  ...listRows('dns.nameservers'),
  ['dns.domain', 1, 'a domain name'],
  ...listRows('dns.search'),
  ...listRows('dns.options'),
  ['ipam', 'host-local', 'an object with a "type"'],
  ['ipam.type', '../host-local', 'the name of an IPAM plugin, no "/"'],
  ...rangeRows('ipam.ranges'),
  ['ipam.subnet', '', network],
  ['ipam.rangeStart', 1, address],
  ['ipam.rangeEnd', 1, address],
  ['ipam.gateway', 1, address],
  ['ipam.routes', {}, 'a list of routes'],
  ['ipam.routes[0]', '0.0.0.0/0', 'a route such as {"dst": "0.0.0.0/0"}'],
  ['ipam.routes[0].dst', undefined, 'a network such as "0.0.0.0/0"'],
  ['ipam.routes[0].dst', 1, 'a network such as "0.0.0.0/0"'],
  ['ipam.routes[0].gw', 1, address],
  ['ipam.routes[0].mtu', -1, bytes],
  ['ipam.routes[0].advmss', 65536, bytes],
  ['ipam.routes[0].priority', 2 ** 32, 'a route metric, 0 to 4294967295'],
  ['ipam.routes[0].table', '254', 'a routing table, 0 to 4294967295'],
  ['ipam.routes[0].scope', 256, '0 (global), 253 (link) or 254 (host)'],
  ['ipam.addresses', {}, 'a list of addresses such as [{"address": "10.10.0.5/24"}]'],
  [
    'ipam.addresses[0]',
    '10.10.0.5/24',
    'an address such as {"address": "10.10.0.5/24", "gateway": "10.10.0.1"}',
  ],
  ['ipam.addresses[0].address', undefined, 'an address such as "10.10.0.5/24"'],
  ['ipam.addresses[0].address', 1, 'an address such as "10.10.0.5/24"'],
  ['ipam.addresses[0].gateway', 1, address],
  ['ipam.dns', [], 'an object with nameservers, domain, search, options'],
  ...listRows('ipam.dns.nameservers'),
  ['ipam.dns.domain', 1, 'a domain name'],
  ...listRows('ipam.dns.search'),
  ...listRows('ipam.dns.options'),
  ['ipam.dataDir', 1, 'an absolute path'],
  ['ipam.resolvConf', [], 'the path of a resolv.conf'],
  ['runtimeConfig', [], 'an object, written by the runtime'],
  ...listRows('runtimeConfig.ips'),
  ['runtimeConfig.mac', 1, mac],
  ...rangeRows('runtimeConfig.ipRanges'),
  ['runtimeConfig.dns', [], 'an object with servers, searches, options'],
  ...listRows('runtimeConfig.dns.servers'),
  ...listRows('runtimeConfig.dns.searches'),
  ...listRows('runtimeConfig.dns.options'),
  ['runtimeConfig.portMappings', {}, 'a list of port mappings'],
  [
    'runtimeConfig.portMappings[0]',
    null,
    'a port mapping such as {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}',
  ],
  ['runtimeConfig.portMappings[0].hostPort', 0, port],
  ['runtimeConfig.portMappings[0].hostPort', -1, port],
  ['runtimeConfig.portMappings[0].hostPort', '80', port],
  ['runtimeConfig.portMappings[0].containerPort', 65536, port],
  ['runtimeConfig.portMappings[0].containerPort', 1.5, port],
  ['runtimeConfig.portMappings[0].protocol', 6, '"tcp", "udp" or "sctp"'],
  ['runtimeConfig.portMappings[0].hostIP', 1, 'an IP address such as "192.0.2.1", or ""'],
  ['snat', 'yes', 'true or false'],
  ['masqAll', 1, 'true or false'],
  ['markMasqBit', 32, 'a bit of the packet mark, 0 to 31'],
  ['externalSetMarkChain', 1, 'the name of a chain'],
  ...listRows('conditionsV4'),
  ...listRows('conditionsV6'),
  ['backend', 1, '"nftables", "iptables" or "firewalld"'],
  ['refuseBusyPorts', 1, 'true or false'],
  ['runtimeConfig.bandwidth', [], 'an object with rates and bursts'],
  [`runtimeConfig.${annotations}`, [], "the pod's annotations, an object of strings"],
  [`runtimeConfig.${annotations}.a/b`, 1, text],
  ['runtimeConfig.aliases', 'web', 'names, a list or one a network'],
  ...tuningRows(''),
  ...bandwidthRows(''),
  ...bandwidthRows('runtimeConfig.bandwidth.'),
  ['bandwidthLatencyMilliseconds', 0, 'milliseconds, 1 to 10000'],
  ['bandwidthLatencyMilliseconds', 10_001, 'milliseconds, 1 to 10000'],
  ['args', [], 'an object'],
  ['args.cni', [], 'an object'],
  ...listRows('args.cni.ips'),
  ...tuningRows('args.cni.'),
  ...attachmentRows('cni.dev/valid-attachments'),
  ...attachmentRows('cni.dev/attachments'),
]

function keysOf(path: string): readonly string[] {
  if (path === annotations) return ['runtimeConfig', 'io.kubernetes.cri.pod-annotations']
  return path.startsWith('cni.dev/')
    ? [path.split(/[.[]/, 2).join('.'), ...path.split(/[.[]/).slice(2)].map(unbracketed)
    : path
        .replace(annotations, 'ANNOTATIONS')
        .split(/[.[]/)
        .map((word) => unbracketed(word.replace('ANNOTATIONS', annotations)))
}
const unbracketed = (word: string): string => word.replace(']', '')

/** What an object needs to be one, so that the key beside it is what is refused. */
const companions: Readonly<Record<string, object>> = {
  rangeStart: { subnet: '10.1.0.0/24' },
  rangeEnd: { subnet: '10.1.0.0/24' },
  gateway: { subnet: '10.1.0.0/24', address: '10.1.0.5/24' },
  containerID: { ifname: 'eth0' },
  ifname: { containerID: 'c1' },
  waitSeconds: { enforce: true },
  runDir: { enforce: true },
}
const routeKeys = ['gw', 'mtu', 'advmss', 'priority', 'table', 'scope']

/** A whole overlay but for what is at the end of these keys. */
function overlayHolding(keys: readonly string[], value: unknown): unknown {
  const [, at, ...rest] = keys
  const node = { name: 'a', address: '192.0.2.11', podCIDRs: ['10.244.1.0/24'] }
  const inNode = at !== undefined && rest.length > 0 ? (holding(rest, value) as object) : {}
  const nodes = [{ ...node, ...inNode }]
  const own = Object.keys(inNode).length > 0 || rest.length > 0 ? {} : holding(keys, value)
  return { type: 'vxlan', nodes, ...(own as object) }
}

/** An object or list with `value` at the end of these keys. */
function holding([key, ...rest]: readonly string[], value: unknown): unknown {
  if (key === undefined) return value
  if (key === 'overlay' && rest.length > 0) return { overlay: overlayHolding(rest, value) }
  const inner = holding(rest, value)
  if (/^\d+$/.test(key)) return [inner]
  const route = routeKeys.includes(key) ? { dst: '0.0.0.0/0' } : {}
  return { ...route, ...companions[key], [key]: inner }
}

for (const [path, value, accepted] of rows) {
  const found = value === undefined ? 'absent' : JSON.stringify(value)
  test(`${path} is ${found}`, async (t) => {
    const config = { ...(holding(keysOf(path), value) as object), name: 'net' }
    const fault = faultOf(() => parseConfig(JSON.stringify(config)))
    t.equal(fault.code, 7)
    t.equal(fault.details, `${path} is ${found}; accepted: ${accepted}`)
  })
}

type Shape = { readonly properties?: Readonly<Record<string, Shape>>; readonly items?: Shape }

function pathsOf({ properties = {}, items }: Shape, path: string): readonly string[] {
  const inner = Object.entries(properties).flatMap(([key, shape]) => {
    const name = path === '' ? key : `${path}.${key}`
    return [name, ...pathsOf(shape, name)]
  })
  return items ? [...inner, `${path}[0]`, ...pathsOf(items, `${path}[0]`)] : inner
}

test('there is a row for every key that the schema has', async (t) => {
  const refusedBefore = ['cniVersion', 'name'] // with texts of their own: config.test.ts
  const shown = new Set(rows.map(([path]) => path))
  const missing = pathsOf(configSchema as Shape, '').filter((path) => !shown.has(path))
  t.strictSame(missing, refusedBefore)
})
