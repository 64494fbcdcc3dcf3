// The network configuration as JSON Schema. `description` says what is accepted: it is the end of
// the error text. scripts/build.mjs compiles this into generated/validate-config.js (ajv
// standalone), so nothing is compiled at run time.

import { overlaySchema } from './overlay.ts'
import { policySchema } from './policy.ts'

const cidrList = {
  type: 'array',
  description: 'a list of networks such as ["10.0.0.0/8", "fd00::/8"]',
  items: { type: 'string', description: 'a network such as "10.0.0.0/8"' },
}
const strings = {
  type: 'array',
  description: 'a list of strings',
  items: { type: 'string', description: 'a string' },
}
const flag = { type: 'boolean', description: 'true or false' }
/** Parts that are used twice are one object: the build makes one function of each. */
const address = { type: 'string', description: 'an IP address such as "10.244.1.1"' }
const unsigned = (most: number, description: string) => ({
  type: 'integer',
  minimum: 0,
  maximum: most,
  description,
})

const folder = { type: 'string', pattern: '^(/|$)', description: 'an absolute path' }
const network = { type: 'string', minLength: 1, description: 'a network such as "10.244.1.0/24"' }

const range = {
  type: 'object',
  description: 'a range: {"subnet": "10.244.1.0/24"}, with rangeStart, rangeEnd, gateway if wanted',
  required: ['subnet'],
  properties: {
    subnet: network,
    rangeStart: address,
    rangeEnd: address,
    gateway: address,
  },
}
const ranges = {
  type: 'array',
  description: 'a list of range sets such as [[{"subnet": "10.244.1.0/24"}]]',
  items: { type: 'array', minItems: 1, description: 'a non-empty list of ranges', items: range },
}

export const dnsSchema = {
  type: 'object',
  description: 'an object with nameservers, domain, search, options',
  properties: {
    nameservers: strings,
    domain: { type: 'string', description: 'a domain name' },
    search: strings,
    options: strings,
  },
}

export const routeSchema = {
  type: 'object',
  description: 'a route such as {"dst": "0.0.0.0/0"}',
  required: ['dst'],
  properties: {
    dst: { ...network, description: 'a network such as "0.0.0.0/0"' },
    gw: address,
    mtu: unsigned(65535, 'bytes, 0 to 65535'),
    advmss: unsigned(65535, 'bytes, 0 to 65535'),
    priority: unsigned(0xffffffff, 'a route metric, 0 to 4294967295'),
    table: unsigned(0xffffffff, 'a routing table, 0 to 4294967295'),
    scope: unsigned(255, '0 (global), 253 (link) or 254 (host)'),
  },
}

const ipam = {
  type: 'object',
  description: 'an object with a "type"',
  properties: {
    type: { type: 'string', pattern: '^[^/]*$', description: 'the name of an IPAM plugin, no "/"' },
    ranges,
    subnet: network,
    rangeStart: address,
    rangeEnd: address,
    gateway: address,
    routes: { type: 'array', description: 'a list of routes', items: routeSchema },
    addresses: {
      type: 'array',
      description: 'a list of addresses such as [{"address": "10.10.0.5/24"}]',
      items: {
        type: 'object',
        description: 'an address such as {"address": "10.10.0.5/24", "gateway": "10.10.0.1"}',
        required: ['address'],
        properties: {
          address: { type: 'string', description: 'an address such as "10.10.0.5/24"' },
          gateway: address,
        },
      },
    },
    dns: dnsSchema,
    dataDir: folder,
    resolvConf: { type: 'string', description: 'the path of a resolv.conf' },
  },
}

const mac = { type: 'string', description: 'a MAC address such as "0a:58:0a:f4:01:05"' }
const mtu = {
  description: '0 (automatic), or 68 to 65535 bytes (1280 at least with IPv6)',
  anyOf: [{ const: 0 }, { type: 'integer', minimum: 68, maximum: 65535 }],
}

/** Keys of tuning; the values of `sysctl` are looked at where they are read (cni/tuning.ts). */
const tuning = {
  sysctl: {
    type: 'object',
    description: 'an object of sysctls such as {"net.core.somaxconn": "500"}',
  },
  mac,
  mtu,
  promisc: flag,
  allmulti: flag,
  txQLen: unsigned(0xffffffff, 'packets, 0 to 4294967295'),
}
const port = { type: 'integer', minimum: 1, maximum: 65535, description: 'a port, 1 to 65535' }
const portMapping = {
  type: 'object',
  description: 'a port mapping such as {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}',
  properties: {
    hostPort: port,
    containerPort: port,
    protocol: { type: 'string', description: '"tcp", "udp" or "sctp"' },
    hostIP: { type: 'string', description: 'an IP address such as "192.0.2.1", or ""' },
  },
}
const conditions = { ...strings, type: ['array', 'null'] }

const rate = unsigned(1e15, 'bits per second, 0 (no limit) to 10^15')
const burst = unsigned(34359738359, 'bits, 0 (not said) to 34359738359')
const bandwidth = {
  ingressRate: rate,
  ingressBurst: burst,
  egressRate: rate,
  egressBurst: burst,
  unshapedSubnets: cidrList,
  shapedSubnets: cidrList,
}

const runtimeConfig = {
  type: 'object',
  description: 'an object, written by the runtime',
  properties: {
    ips: strings,
    mac,
    ipRanges: ranges,
    dns: {
      type: 'object',
      description: 'an object with servers, searches, options',
      properties: { servers: strings, searches: strings, options: strings },
    },
    portMappings: {
      type: ['array', 'null'],
      description: 'a list of port mappings',
      items: portMapping,
    },
    bandwidth: {
      type: ['object', 'null'],
      description: 'an object with rates and bursts',
      properties: bandwidth,
    },
    aliases: { type: ['object', 'array', 'null'], description: 'names, a list or one a network' },
    'io.kubernetes.cri.pod-annotations': {
      type: ['object', 'null'],
      description: "the pod's annotations, an object of strings",
      additionalProperties: { type: 'string', description: 'a string' },
    },
  },
}

const attachments = {
  type: ['array', 'null'],
  description: 'a list of {"containerID": …, "ifname": …}',
  items: {
    type: 'object',
    description: 'an object with containerID and ifname',
    required: ['containerID', 'ifname'],
    properties: {
      containerID: { type: 'string', description: 'a container id' },
      ifname: { type: 'string', description: 'an interface name' },
    },
  },
}

export const configSchema = {
  type: 'object',
  description: 'a network configuration, a JSON object',
  properties: {
    cniVersion: { type: 'string', description: 'a CNI version such as "1.0.0"' },
    name: { type: 'string', description: "the network's name" },
    type: { type: 'string', description: "the plugin's name" },
    mode: { enum: ['routed', 'bridge'], description: '"routed" or "bridge"' },
    ...tuning,
    ipMasq: flag,
    ipMasqBackend: { type: 'string', description: '"nftables"' },
    nonMasqueradeCIDRs: cidrList,
    spoofCheck: flag,
    macspoofchk: flag,
    bridge: {
      type: 'string',
      pattern: '^(?!\\.{1,2}$)[^/:\\s]{1,15}$',
      description: 'an interface name, 1 to 15 bytes',
    },
    isGateway: flag,
    isDefaultGateway: flag,
    forceAddress: flag,
    hairpinMode: flag,
    promiscMode: flag,
    portIsolation: flag,
    ingressPolicy: {
      enum: ['', 'open', 'same-bridge', 'isolated'],
      description: '"open", "same-bridge" or "isolated"',
    },
    acceptForward: flag,
    backend: { type: 'string', description: '"nftables", "iptables" or "firewalld"' },
    iptablesAdminChainName: { type: 'string', description: 'the name of a chain' },
    firewalldZone: { type: 'string', description: 'the name of a zone' },
    ...bandwidth,
    bandwidthLatencyMilliseconds: {
      type: 'integer',
      minimum: 1,
      maximum: 10_000,
      description: 'milliseconds, 1 to 10000',
    },
    vlan: unsigned(4094, 'a VLAN id, 0 to 4094'),
    vlanTrunk: { type: ['array', 'null'], description: 'a list of VLAN ids' },
    preserveDefaultVlan: flag,
    enabledad: flag,
    disableContainerInterface: flag,
    snat: flag,
    masqAll: flag,
    markMasqBit: unsigned(31, 'a bit of the packet mark, 0 to 31'),
    externalSetMarkChain: { type: 'string', description: 'the name of a chain' },
    conditionsV4: conditions,
    conditionsV6: conditions,
    refuseBusyPorts: flag,
    dataDir: folder,
    subnetFile: folder,
    delegate: { type: 'object', description: 'an object, the plugin that flannel calls' },
    dns: dnsSchema,
    ipam,
    overlay: overlaySchema,
    policy: policySchema,
    runtimeConfig,
    args: {
      type: ['object', 'null'],
      description: 'an object',
      properties: {
        cni: {
          type: 'object',
          description: 'an object',
          properties: { ips: strings, ...tuning },
        },
      },
    },
    'cni.dev/valid-attachments': attachments,
    'cni.dev/attachments': attachments,
  },
}
