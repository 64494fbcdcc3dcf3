import { test } from 'tap'
import { describe, formatPath, parseConfig, versionOf } from '../../src/cni/config.ts'
import { faultOf } from '../support/fault-of.ts'

/** Plain objects again: what is read has no prototype, so that no key of it can be one. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value)) as unknown
const read = (keys: object): unknown => plain(parseConfig(JSON.stringify({ name: 'net', ...keys })))
const seen = { name: 'net', cniVersion: '0.1.0' }

const folded: readonly Readonly<{ why: string; keys: object; want: object }>[] = [
  {
    why: 'the capabilities of containerd 1.6, as go-cni writes them: no JSON tags, capitalised',
    keys: {
      runtimeConfig: {
        portMappings: [{ HostPort: 8080, ContainerPort: 80, Protocol: 'tcp', HostIP: '' }],
        dns: { Servers: ['10.96.0.10'], Searches: ['svc.local'], Options: ['ndots:5'] },
        ipRanges: [
          [
            {
              Subnet: '10.1.0.0/24',
              RangeStart: '10.1.0.9',
              RangeEnd: '10.1.0.20',
              Gateway: '10.1.0.1',
            },
          ],
        ],
      },
    },
    want: {
      runtimeConfig: {
        portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp', hostIP: '' }],
        dns: { servers: ['10.96.0.10'], searches: ['svc.local'], options: ['ndots:5'] },
        ipRanges: [
          [
            {
              subnet: '10.1.0.0/24',
              rangeStart: '10.1.0.9',
              rangeEnd: '10.1.0.20',
              gateway: '10.1.0.1',
            },
          ],
        ],
      },
    },
  },
  {
    why: 'what operators write and Go reads',
    keys: { IPAM: { TYPE: 'host-local', SubNet: '10.1.0.0/24', dataDIR: '/x' }, MODE: 'bridge' },
    want: { ipam: { type: 'host-local', subnet: '10.1.0.0/24', dataDir: '/x' }, mode: 'bridge' },
  },
  {
    why: 'an exact key wins over a folded one that stands before it',
    keys: { MTU: 1, mtu: 1400 },
    want: { mtu: 1400 },
  },
  { why: 'and over one behind it', keys: { mtu: 1400, MTU: 1 }, want: { mtu: 1400 } },
  {
    why: 'in depth too',
    keys: { ipam: { Subnet: 'x', subnet: '10.1.0.0/24', SUBNET: 'y' } },
    want: { ipam: { subnet: '10.1.0.0/24' } },
  },
  {
    why: 'unknown keys pass as they are, whatever they hold',
    keys: { capabilities: { PortMappings: true }, Weather: { mtu: 'fair', MTU: null } },
    want: { capabilities: { PortMappings: true }, Weather: { mtu: 'fair', MTU: null } },
  },
  {
    why: 'unknown keys of a known object too',
    keys: { ipam: { type: 'calico-ipam', assign_ipv4: 'true', Nodename: 'n' } },
    want: { ipam: { type: 'calico-ipam', assign_ipv4: 'true', Nodename: 'n' } },
  },
  {
    why: 'keys that every object has are keys like others',
    keys: { constructor: 1, toString: { valueOf: 2 }, ipam: { hasOwnProperty: 3 } },
    want: { constructor: 1, toString: { valueOf: 2 }, ipam: { hasOwnProperty: 3 } },
  },
  {
    why: 'null counts as absent where no list is meant',
    keys: { mtu: null, mode: null, ipam: null, dns: null, runtimeConfig: { ips: null, mac: null } },
    want: { runtimeConfig: {} },
  },
  {
    why: 'a nil slice of Go is an empty list to GC, and not an absent one',
    keys: { 'cni.dev/valid-attachments': null },
    want: { 'cni.dev/valid-attachments': null },
  },
  {
    why: 'capability values may be null',
    keys: { runtimeConfig: { portMappings: null, bandwidth: null }, args: null, vlanTrunk: null },
    want: { runtimeConfig: { portMappings: null, bandwidth: null }, args: null, vlanTrunk: null },
  },
  {
    why: 'both names of the list of attachments, case and all',
    keys: { 'CNI.dev/Attachments': [{ ContainerID: 'c1', IFNAME: 'eth0' }] },
    want: { 'cni.dev/attachments': [{ containerID: 'c1', ifname: 'eth0' }] },
  },
  {
    why: 'prevResult is kept as it came, for whoever reads it',
    keys: { prevResult: { IPs: [{ Address: 7 }], Mtu: null } },
    want: { prevResult: { IPs: [{ Address: 7 }], Mtu: null } },
  },
  {
    why: 'a version in other letters',
    keys: { CNIVersion: '1.0.0' },
    want: { cniVersion: '1.0.0' },
  },
]

for (const { why, keys, want } of folded) {
  test(`read: ${why}`, async (t) => t.strictSame(read(keys), plain({ ...seen, ...want })))
}

test('__proto__ is a key like any other, at every depth', async (t) => {
  const inner = '"__proto__": {"mode": "bridge", "type": "host-local", "subnet": "10.1.0.0/24"}'
  const config = parseConfig(`{"name": "net", ${inner}, "ipam": {${inner}}}`)
  t.equal(config.mode, undefined)
  t.equal(config.ipam?.type, undefined)
  t.equal(config.ipam?.subnet, undefined)
  t.equal(Object.getPrototypeOf(config), Object.prototype)
  t.equal(({} as { mode?: unknown }).mode, undefined, 'nor has any other object it now')
})

const json = (keys: object): string => JSON.stringify(keys)

const refused: readonly Readonly<{ why: string; text: string; code: number; details: RegExp }>[] = [
  { why: 'nothing at all', text: '', code: 6, details: /standard input is empty/ },
  { why: 'blanks', text: ' \n', code: 6, details: /standard input is empty/ },
  { why: 'a text cut short', text: '{"name": "n', code: 6, details: /standard input$/ },
  {
    why: 'a list',
    text: '[{"name":"n"}]',
    code: 6,
    details: /holds \[\{"name":"n"\}\]; .* object/,
  },
  { why: 'null', text: 'null', code: 6, details: /holds null/ },
  { why: 'a text', text: '"tulle"', code: 6, details: /holds "tulle"/ },
  {
    why: 'a version of another time, whatever else is wrong',
    text: json({ cniVersion: '2.0.0', name: '', mtu: -1 }),
    code: 1,
    details: /config is "2\.0\.0", plugin supports \["0\.1\.0",.*"1\.1\.0"\]/,
  },
  {
    why: 'a version is matched to the letter',
    text: json({ cniVersion: '1.0', name: 'n' }),
    code: 1,
    details: /"1\.0"/,
  },
  {
    why: 'a version that is a number',
    text: json({ cniVersion: 1, name: 'n' }),
    code: 1,
    details: /config is 1,/,
  },
  { why: 'no name', text: json({ mtu: -1 }), code: 7, details: /"name" is absent or empty/ },
  { why: 'an empty name', text: json({ name: '' }), code: 7, details: /"name" is absent or empty/ },
  { why: 'a null name', text: json({ name: null }), code: 7, details: /"name" is absent or empty/ },
  {
    why: 'a path as name',
    text: json({ name: '../x' }),
    code: 7,
    details: /name is "\.\.\/x"; .*_/,
  },
  {
    why: 'a number as name',
    text: json({ name: 5 }),
    code: 7,
    details: /name is 5; it must start/,
  },
]

for (const { why, text, code, details } of refused) {
  test(`refused: ${why}`, async (t) => {
    const fault = faultOf(() => parseConfig(text))
    t.equal(fault.code, code)
    t.match(fault.details, details)
  })
}

for (const { why, text, want } of [
  { why: 'as it says', text: '{"cniVersion": "0.3.1"}', want: '0.3.1' },
  { why: 'absent is 0.1.0', text: '{}', want: '0.1.0' },
  { why: 'none in what is not JSON', text: '{', want: undefined },
  { why: 'none where it is another time’s', text: '{"cniVersion": "9.9.9"}', want: undefined },
  { why: 'whatever else is wrong', text: '{"cniVersion": "1.0.0", "name": 5}', want: '1.0.0' },
]) {
  test(`the version of an error: ${why}`, async (t) => t.equal(versionOf(text), want))
}

for (const { words, want } of [
  { words: ['ipam', 'ranges', '0', '1', 'subnet'], want: 'ipam.ranges[0][1].subnet' },
  { words: ['cni.dev/attachments', '2'], want: 'cni.dev/attachments[2]' },
  { words: [], want: 'the configuration' },
]) {
  test(`a path is written ${want}`, async (t) => t.equal(formatPath(words), want))
}

test('a value is shown as JSON, 120 letters of it at most', async (t) => {
  t.equal(describe({ a: [1, 'b'] }), '{"a":[1,"b"]}')
  t.equal(describe(undefined), 'undefined')
  t.equal(describe('x'.repeat(118)), `"${'x'.repeat(118)}"`)
  t.equal(describe('x'.repeat(119)), `"${'x'.repeat(119)}…`)
})
