import fc from 'fast-check'
import { test } from 'tap'
import { parseConfig } from '../../src/cni/config.ts'
import { type AskedPort, readPortMappings } from '../../src/cni/port-mappings.ts'
import { holds } from '../base/law.ts'
import { faultOf } from '../support/fault-of.ts'

const read = (portMappings: unknown, keys: object = {}): readonly AskedPort[] =>
  readPortMappings(
    parseConfig(JSON.stringify({ name: 'net', ...keys, runtimeConfig: { portMappings } })),
  )
const web: AskedPort = { protocol: 'tcp', hostPort: 8080, containerPort: 80, hostIp: null }

for (const { why, given, want } of [
  { why: 'none', given: [], want: [] },
  { why: 'a nil list', given: null, want: [] },
  { why: 'podman’s', given: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }], want: [web] },
  {
    why: 'containerd’s',
    given: [{ HostPort: 8080, ContainerPort: 80, Protocol: 'TCP', HostIP: '' }],
    want: [web],
  },
  { why: 'no protocol', given: [{ hostPort: 8080, containerPort: 80 }], want: [web] },
  {
    why: 'an empty protocol, a null host address',
    given: [{ hostPort: 8080, containerPort: 80, protocol: '', hostIP: null }],
    want: [web],
  },
  {
    why: 'Nomad’s: each port twice',
    given: [
      { hostPort: 8080, containerPort: 80, protocol: 'tcp' },
      { hostPort: 8080, containerPort: 80, protocol: 'udp' },
    ],
    want: [web, { ...web, protocol: 'udp' }],
  },
  {
    why: 'the same again',
    given: [
      { hostPort: 8080, containerPort: 80 },
      { hostPort: 8080, containerPort: 80, hostIP: '0.0.0.0' },
      { hostPort: 8080, containerPort: 80, hostIP: '::' },
    ],
    want: [web],
  },
  {
    why: 'an address of the host, in the canonical form',
    given: [{ hostPort: 8080, containerPort: 80, hostIP: '2001:DB8:0::1' }],
    want: [{ ...web, hostIp: '2001:db8::1' }],
  },
  {
    why: 'one address apart from all',
    given: [
      { hostPort: 8080, containerPort: 80 },
      { hostPort: 8080, containerPort: 81, hostIP: '192.0.2.1' },
    ],
    want: [web, { ...web, containerPort: 81, hostIp: '192.0.2.1' }],
  },
]) {
  test(`port mappings: ${why}`, async (t) => t.strictSame(read(given), want))
}

const one = [{ hostPort: 8080, containerPort: 80 }]
for (const { why, given, keys, code, says } of [
  { why: 'no host port', given: [{ containerPort: 80 }], says: '[0].hostPort is absent' },
  {
    why: 'no port of the pod',
    given: [...one, { hostPort: 8081 }],
    says: '[1].containerPort is absent',
  },
  {
    why: 'an unknown protocol',
    given: [{ ...one[0], protocol: 'icmp' }],
    says: 'portMappings[0].protocol is "icmp"; accepted: "tcp", "udp" or "sctp"',
  },
  { why: 'a name', given: [{ ...one[0], hostIP: 'host' }], says: '[0].hostIP is "host"' },
  { why: 'a zone', given: [{ ...one[0], hostIP: 'fe80::1%2' }], says: '[0].hostIP is "fe80::1%2"' },
  {
    why: 'one port to two',
    given: [...one, { hostPort: 8080, containerPort: 81 }],
    says: 'portMappings[1] is',
  },
  {
    why: 'a mark by bit and by chain',
    given: one,
    keys: { markMasqBit: 13, externalSetMarkChain: 'KUBE-MARK-MASQ' },
    says: 'externalSetMarkChain',
  },
  { why: 'an unknown backend', given: one, keys: { backend: 'ebpf' }, says: 'backend is "ebpf"' },
  { why: 'conditions', given: one, keys: { conditionsV4: ['-s'] }, code: 2, says: 'conditionsV4' },
  { why: 'conditions', given: one, keys: { conditionsV6: ['-s'] }, code: 2, says: 'conditionsV6' },
]) {
  test(`refused: ${why} (${says})`, async (t) => {
    const fault = faultOf(() => read(given, keys))
    t.equal(fault.code, code ?? 7)
    t.ok(fault.details.includes(says), fault.details)
  })
}

test('keys of the reference that change nothing are accepted', async (t) => {
  const keys = { markMasqBit: 0, conditionsV4: [], conditionsV6: null, backend: 'iptables' }
  t.strictSame(read(one, keys), [web])
  t.strictSame(read(one, { externalSetMarkChain: 'X', snat: false, masqAll: true }), [web])
  t.strictSame(read([], { backend: 'ebpf', conditionsV4: ['x'] }), [], 'nor matter without ports')
})

const number = fc.integer({ min: 1, max: 65535 })
const anyCase = (text: string): fc.Arbitrary<string> =>
  fc
    .array(fc.boolean(), { minLength: text.length, maxLength: text.length })
    .map((upper) => [...text].map((one, at) => (upper[at] ? one.toUpperCase() : one)).join(''))

test('no port is lost, none is asked for twice, and asking twice asks for no more', async (t) => {
  const mapping = fc.record({
    hostPort: number,
    containerPort: fc.constant(80),
    protocol: fc.constantFrom('tcp', 'udp', 'sctp').chain(anyCase),
    hostIP: fc.constantFrom('', '0.0.0.0', '192.0.2.1', '2001:db8::1'),
  })
  holds(
    t,
    fc.property(fc.array(mapping), (mappings) => {
      const ports = read(mappings)
      const texts = ports.map((port) => JSON.stringify(port))
      return (
        new Set(texts).size === texts.length &&
        JSON.stringify(read([...mappings, ...mappings])) === JSON.stringify(ports) &&
        mappings.every(({ hostPort, protocol }) =>
          ports.some(
            (port) => port.hostPort === hostPort && port.protocol === protocol.toLowerCase(),
          ),
        )
      )
    }),
  )
})
