import fc from 'fast-check'
import { versions } from '../support/cni.ts'

/** What one process is started with. */
export type Input = Readonly<{ env: Readonly<Record<string, string>>; stdin: Uint8Array }>

/** Paths that a case may name: throw-away namespaces (the first is the node's) and directories. */
export type Places = Readonly<{ netns: readonly string[]; dataDirs: readonly string[] }>

type Value = unknown
type Path = readonly (string | number)[]

/** ADD does the most, so it comes most often. */
const verbs = [
  ...Array.from({ length: 6 }, () => 'ADD' as const),
  ...(['DEL', 'DEL', 'CHECK', 'CHECK', 'STATUS', 'GC', 'GC', 'VERSION'] as const),
]

/** Text that an environment can hold. */
const plain = (maxLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: 'binary', maxLength }).map((text) => text.replaceAll('\0', ''))

const mostly = <T>(usual: fc.Arbitrary<T>, odd: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ weight: 30, arbitrary: usual }, { weight: 1, arbitrary: odd })

const oddText = fc.oneof(
  plain(20),
  fc.constantFrom('', ' ', '..', '../..', 'é', '\n', 'a'.repeat(300), '-1', '0x10', '%s', '\u202e'),
)

/** Values that sit at the edges of what some key accepts. */
const edge = fc.oneof(
  oddText,
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constantFrom<Value>(null, [], {}, [[]], [null], [{}], 0, -1, 65535, 65536, 2 ** 53, 1e308),
  fc.constantFrom('10.77.0.0/24', '10.77.0.5', 'fd00:77::/64', '0.0.0.0/0', '::/0', '10.77.0.1/33'),
  fc.constantFrom('host-local', 'nowhere', 'eth0', 'up0', 'lo', 'cni0', '02:00:00:00:00:01'),
  fc.jsonValue({ maxDepth: 2 }),
)

const results = fc.constantFrom<Value>(
  null,
  { cniVersion: '1.1.0' },
  { cniVersion: '0.4.0', ips: [{ version: '4', address: '10.77.0.2/24', interface: -1 }] },
  { cniVersion: '0.2.0', ip4: { ip: '10.77.0.2/24' } },
  { interfaces: [{ name: 'eth0', sandbox: '/x' }], ips: [{ address: '10.1.1.1/8', interface: 9 }] },
)

const attachments = fc.constantFrom<Value>(
  undefined,
  null,
  [],
  [{ containerID: 'c1', ifname: 'eth0' }],
  [{ containerID: 'c1' }],
  'x',
)

const ranges = fc.constantFrom<Value>(
  [[{ subnet: '10.77.0.0/24' }]],
  [[{ subnet: 'fd00:77::/64' }]],
  [[{ subnet: '10.77.0.0/24' }], [{ subnet: 'fd00:77::/64' }]],
  [[{ subnet: '10.77.0.0/30' }, { subnet: '10.78.0.0/31' }]],
  [[{ Subnet: '10.79.0.0/29', RANGESTART: '10.79.0.3', gateway: '10.79.0.6' }]],
)

const ipam = fc.record(
  {
    type: fc.constant('host-local'),
    ranges,
    routes: fc.constantFrom<Value>(
      [],
      [{ dst: '0.0.0.0/0' }],
      [{ dst: '::/0', gw: 'fd00:77::1' }],
      [{ dst: '10.8.0.0/16', mtu: 1300, advmss: 1200, priority: 7, table: 100, scope: 253 }],
    ),
    resolvConf: mostly(
      fc.constantFrom('/etc/resolv.conf', ''),
      fc.constantFrom('/nonexistent', '/etc'),
    ),
  },
  { requiredKeys: ['type', 'ranges'] },
)

/** A configuration that is right, or nearly. */
const conf = fc.record(
  {
    cniVersion: fc.constantFrom(...versions),
    name: fc.constantFrom('net', 'net2'),
    type: fc.constant('tulle'),
    mode: fc.constantFrom('routed', 'bridge'),
    ipam,
    bridge: mostly(fc.constantFrom('cni0', 'cni1'), fc.constantFrom('up0', 'lo')),
    isGateway: fc.boolean(),
    isDefaultGateway: fc.boolean(),
    forceAddress: fc.boolean(),
    hairpinMode: fc.boolean(),
    promiscMode: mostly(fc.constant(false), fc.constant(true)),
    portIsolation: fc.boolean(),
    ipMasq: fc.boolean(),
    spoofCheck: fc.boolean(),
    nonMasqueradeCIDRs: fc.constantFrom<Value>([], ['10.0.0.0/8'], ['fd00::/8', '10.0.0.0/8']),
    mtu: mostly(fc.constantFrom(0, 1280, 1500, 65535), fc.constant(68)),
    vlan: mostly(fc.constant(0), fc.constant(7)),
    dns: fc.constantFrom<Value>({}, { nameservers: ['10.0.0.53'] }),
    runtimeConfig: fc.constantFrom<Value>(
      {},
      undefined,
      { Mac: '02:00:00:00:00:09' },
      { portMappings: [], bandwidth: {}, ips: [] },
    ),
    args: mostly<Value>(
      fc.constantFrom(undefined, {}, null),
      fc.constant({ cni: { ips: ['10.77.0.8/24'], mac: '' } }),
    ),
  },
  { requiredKeys: ['cniVersion', 'name', 'type', 'mode', 'ipam'] },
)

function pathsOf(value: Value, path: Path = []): readonly Path[] {
  if (typeof value !== 'object' || value === null) return [path]
  return [path, ...Object.entries(value).flatMap(([key, child]) => pathsOf(child, [...path, key]))]
}

type Change = Readonly<{
  at: number
  how: 'set' | 'drop' | 'case' | 'add'
  value: Value
  key: string
}>

function changed(value: Value, path: Path, { how, value: put, key }: Change): Value {
  const [first, ...rest] = path
  if (first === undefined)
    return how === 'add' && typeof value === 'object' ? { ...value, [key]: put } : put
  if (typeof value !== 'object' || value === null) return put
  const entries = Object.entries(value).flatMap(([name, child]): [string, Value][] => {
    if (name !== String(first)) return [[name, child]]
    if (rest.length > 0) return [[name, changed(child, rest, { at: 0, how, value: put, key })]]
    if (how === 'drop') return []
    if (how === 'case') return [[name.toUpperCase(), child]]
    return [[name, how === 'add' ? { [key]: put } : put]]
  })
  return Array.isArray(value) ? entries.map(([, child]) => child) : Object.fromEntries(entries)
}

const changes: fc.Arbitrary<readonly Change[]> = fc.array(
  fc.record({
    at: fc.nat(),
    how: fc.constantFrom('set', 'drop', 'case', 'add'),
    value: edge,
    key: fc.oneof(fc.constantFrom('ipam', 'ranges', 'type', '__proto__', 'constructor'), oddText),
  }),
  { maxLength: 3, size: 'xsmall' },
)

/** Keys that the runtime adds, mostly for the verbs that need them. */
const runtimeKeys = (verb: string): fc.Arbitrary<Readonly<Record<string, Value>>> => {
  const none = fc.constant({})
  const result = results.map((prevResult) => ({ prevResult }))
  const list = attachments.map((valid) => ({ 'cni.dev/valid-attachments': valid }))
  const newest = list.map((keys) => ({ ...keys, cniVersion: '1.1.0' }))
  if (verb === 'CHECK') return mostly<Readonly<Record<string, Value>>>(result, none)
  if (verb === 'GC' || verb === 'STATUS') {
    return mostly<Readonly<Record<string, Value>>>(newest, list)
  }
  return mostly<Readonly<Record<string, Value>>>(none, fc.oneof(result, list))
}

/** Leases go where the case may write, whatever the mutations have made of that key. */
function confined(value: Value, { dataDirs }: Places): Value {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, child]): [string, Value] => {
      const isPath = key.toLowerCase() === 'datadir' && typeof child === 'string'
      return [
        key,
        isPath && !dataDirs.includes(child)
          ? dataDirs[0]
          : confined(child, { netns: [], dataDirs }),
      ]
    }),
  )
}

const confText = (places: Places, verb: string): fc.Arbitrary<string> =>
  fc
    .record({
      base: conf,
      added: runtimeKeys(verb),
      dataDir: fc.constantFrom(...places.dataDirs),
      edits: fc.oneof(fc.constant<readonly Change[]>([]), changes),
    })
    .map(({ base, added, dataDir, edits }) => {
      const start: Value = { ...base, ...added, ipam: { ...base.ipam, dataDir }, dataDir }
      const end = edits.reduce((value: Value, edit) => {
        const paths = pathsOf(value)
        return changed(value, paths[edit.at % paths.length] ?? [], edit)
      }, start)
      return JSON.stringify(confined(end, places)) ?? ''
    })

/** Right text, text cut off or with bytes turned, JSON of any shape, or bytes of any kind. */
const stdin = (places: Places, verb: string): fc.Arbitrary<Uint8Array> => {
  const text = confText(places, verb)
  const encode = (value: string): Uint8Array => new TextEncoder().encode(value)
  const cut = fc
    .tuple(text, fc.nat())
    .map(([all, at]) => encode(all.slice(0, at % (all.length + 1))))
  const turned = fc.tuple(text, fc.nat(), fc.nat(255)).map(([all, at, byte]) => {
    const bytes = encode(all.replaceAll(/"dataDir":"[^"]*"/g, `"dataDir":"${places.dataDirs[0]}"`))
    bytes[at % Math.max(1, bytes.length)] = byte
    return bytes
  })
  return fc.oneof(
    { weight: 40, arbitrary: text.map(encode) },
    { weight: 2, arbitrary: cut },
    {
      weight: 2,
      arbitrary: turned.map((bytes) => (isConfined(bytes, places) ? bytes : encode('{'))),
    },
    { weight: 1, arbitrary: fc.json({ maxDepth: 4 }).map(encode) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
  )
}

/** True unless a turned byte made another path, or another key, of where leases go. */
function isConfined(bytes: Uint8Array, { dataDirs }: Places): boolean {
  const text = new TextDecoder().decode(bytes)
  return text.split(`"dataDir":"${dataDirs[0]}"`).length === 3
}

const env = (places: Places, verb: string): fc.Arbitrary<Record<string, string>> =>
  fc.record(
    {
      CNI_COMMAND: mostly(fc.constant(verb), oddText),
      CNI_CONTAINERID: mostly(fc.constantFrom('c1', 'c2', 'c3'), oddText),
      CNI_NETNS: mostly(
        fc.constantFrom(...places.netns.slice(1)),
        fc.constantFrom('', 'x', '/', '/dev/null', ...places.netns.slice(0, 1)),
      ),
      CNI_IFNAME: mostly(fc.constantFrom('eth0', 'net1'), oddText),
      CNI_ARGS: mostly(
        fc.constantFrom('', 'IgnoreUnknown=1;K8S_POD_NAME=x', 'MAC=02:00:00:00:00:07'),
        fc.oneof(fc.constant('IP=10.77.0.7'), oddText),
      ),
      CNI_PATH: fc.constantFrom('', '/nonexistent', ':', '/nonexistent:/dev/null'),
      CNI_NETNS_OVERRIDE: fc.constantFrom('', '0', 'x'),
      TRACEPARENT: oddText,
      NODE_OPTIONS: fc.constantFrom('', '--inspect', '--no-such-option'),
      TZ: oddText,
      LD_LIBRARY_PATH: oddText,
      // Real locales only: Node 24.21 dies of "LANG=aaaaaaaaaaaa" (SIGSEGV in ICU) before any
      // code of ours runs; likewise of an OPENSSL_CONF that is no configuration of OpenSSL.
      LANG: fc.constantFrom('', 'C', 'C.UTF-8', 'de_DE.UTF-8', 'tr_TR', 'xx'),
    },
    { requiredKeys: ['CNI_COMMAND', 'CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'] },
  )

/** An environment with a variable missing now and then. */
const thinned = (places: Places, verb: string): fc.Arbitrary<Record<string, string>> =>
  fc.tuple(env(places, verb), fc.nat(99)).map(([all, at]) => {
    const dropped = ['CNI_COMMAND', 'CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'][at]
    return Object.fromEntries(Object.entries(all).filter(([name]) => name !== dropped))
  })

export const inputs = (places: Places): fc.Arbitrary<Input> =>
  fc
    .constantFrom(...verbs)
    .chain((verb) => fc.record({ env: thinned(places, verb), stdin: stdin(places, verb) }))
