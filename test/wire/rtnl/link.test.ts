import { test } from 'tap'
import { formatMac } from '../../../src/base/mac.ts'
import { attribute, nested, text, u8, u32 } from '../../../src/wire/netlink/attribute.ts'
import { decodeReplies } from '../../../src/wire/netlink/message.ts'
import {
  deleteGroup,
  deleteLink,
  dumpLinks,
  getLink,
  newBridge,
  newIfb,
  newVeth,
  probeVeth,
  setAlias,
  setBridgePort,
  setDown,
  setLink,
} from '../../../src/wire/rtnl/link.ts'
import { decodeLink } from '../../../src/wire/rtnl/observed-link.ts'
import { agrees, type GoldenRow, linesOf, linkShape, readGolden, titleOf } from '../golden.ts'
import { bytes, link, mac } from '../values.ts'

const host0 = link(3)
const br0 = link(4)
const host = { name: 'host0', mac: mac('0a:58:0a:01:00:01') }
// the number that `ip` happened to have for the pod's namespace in the golden file
const pod = { name: 'eth0', mac: mac('0a:58:0a:01:00:05'), netnsFd: 4 }
const bridge = { name: 'br0', mac: mac('0a:58:0a:01:00:02'), mtuBytes: 1400 }

const noNul = 'iproute2 leaves the NUL of kinds and aliases out; NLA_NUL_STRING takes both'
const byName = 'iproute2 looks the index up first; by name it is one message, and no race between'

const rows: readonly Omit<GoldenRow, 'shape'>[] = [
  {
    golden: 'link-add-veth',
    ours: newVeth({ host, pod, mtuBytes: 1400 }),
    but: { why: noNul, ours: ['18/1 = 7665746800'], theirs: ['18/1 = 76657468'] },
  },
  {
    golden: 'link-add-bridge',
    ours: newBridge(bridge),
    but: { why: noNul, ours: ['18/1 = 62726964676500'], theirs: ['18/1 = 627269646765'] },
  },
  {
    golden: 'link-add-ifb',
    ours: newIfb({ name: 'ifb1', mac: host.mac, mtuBytes: 1400 }),
    but: { why: noNul, ours: ['18/1 = 69666200'], theirs: ['18/1 = 696662'] },
  },
  { golden: 'link-set-up', ours: setLink({ index: host0, up: true }) },
  {
    golden: 'link-set-down',
    ours: setDown('host0'),
    but: {
      why: byName,
      ours: ['head 00000000000000000000000001000000', '3 = 686f73743000'],
      theirs: ['head 00000000030000000000000001000000'],
    },
  },
  { golden: 'link-set-address', ours: setLink({ index: host0, mac: host.mac }) },
  { golden: 'link-set-master-up', ours: setLink({ index: host0, up: true, master: br0 }) },
  { golden: 'link-set-promisc', ours: setLink({ index: br0, promisc: true }) },
  { golden: 'link-set-promisc-off', ours: setLink({ index: br0, promisc: false }) },
  { golden: 'link-set-allmulti', ours: setLink({ index: host0, allmulti: true }) },
  { golden: 'link-set-allmulti-off', ours: setLink({ index: host0, allmulti: false }) },
  { golden: 'link-set-queue', ours: setLink({ index: host0, txQueueLength: 250 }) },
  { golden: 'link-set-mtu', ours: setLink({ index: host0, mtuBytes: 1400 }) },
  {
    golden: 'link-set-alias',
    ours: setAlias('host0', 'tulle1 10.1.0.5 eth0'),
    but: {
      why: `${byName}; ${noNul}`,
      ours: [
        'head 00000000000000000000000000000000',
        '3 = 686f73743000',
        '20 = 74756c6c65312031302e312e302e35206574683000',
      ],
      theirs: [
        'head 00000000030000000000000000000000',
        '20 = 74756c6c65312031302e312e302e352065746830',
      ],
    },
  },
  {
    golden: 'link-set-addrgenmode',
    ours: setLink({ index: host0, noLinkLocal: true }),
    but: { why: 'iproute2 does not set NLA_F_NESTED in IFLA_AF_SPEC' },
  },
  {
    golden: 'link-set-port',
    ours: setBridgePort(host0, { hairpin: true, isolated: true }),
    but: {
      why: 'iproute2 names the kind "bridge_slave"; the kernel takes the master\'s own kind too',
      ours: ['18/4 = 62726964676500'],
      theirs: ['18/1 = 6272696467655f736c617665'],
    },
  },
  {
    golden: 'link-delete',
    ours: deleteLink({ name: 'host0' }),
    but: {
      why: byName,
      ours: ['head 00000000000000000000000000000000', '3 = 686f73743000'],
      theirs: ['head 00000000030000000000000000000000'],
    },
  },
  { golden: 'link-delete-group', ours: deleteGroup(1116) },
  {
    golden: 'link-get',
    ours: getLink({ name: 'host0' }),
    but: {
      why: 'both leave counters out; iproute2 asks for virtual functions (RTEXT_FILTER_VF) too',
      ours: ['29 = 08000000'],
      theirs: ['29 = 09000000'],
    },
  },
  {
    golden: 'link-dump',
    ours: dumpLinks(),
    but: {
      why: 'iproute2 asks for AF_PACKET, which no family has a dump of, and for other details',
      ours: ['head 00000000000000000000000000000000', '29 = 08000000'],
      theirs: ['head 11000000000000000000000000000000', '29 = 01000000'],
    },
  },
]
for (const row of rows)
  test(titleOf(row), async (t) => {
    agrees(t, { ...row, shape: linkShape })
  })

test('getLink by index has the index and no name', async (t) => {
  const { type, flags, body } = getLink({ index: host0 })
  t.strictSame(linesOf({ type, flags, body: Buffer.from(body) }, linkShape), [
    'type 18',
    'flags 1',
    'head 00000000030000000000000000000000',
    '29 = 08000000',
  ])
})

test('setLink with nothing to set changes nothing', async (t) => {
  const { body } = setLink({ index: host0 })
  t.equal(Buffer.from(body).toString('hex'), '00000000030000000000000000000000')
})

test('setBridgePort states flags that are off as well', async (t) => {
  const { type, flags, body } = setBridgePort(host0, { hairpin: false, isolated: false })
  const lines = linesOf({ type, flags, body: Buffer.from(body) }, linkShape)
  t.strictSame(lines.slice(-2), ['18/5/4 = 00', '18/5/33 = 00'])
})

test('probeVeth gives the peer less than a header', async (t) => {
  const { type, flags, body } = probeVeth()
  const shape = { head: 16, nested: ['18', '18/2'] }
  const lines = linesOf({ type, flags, body: Buffer.from(body) }, shape)
  t.strictSame(lines.slice(-2), ['18/1 = 7665746800', '18/2/1 = 00'])
})

test('decodeLink reads what the kernel says of lo, a veth pair and a bridge', async (t) => {
  const links = decodeReplies(readGolden('reply-links')).flatMap((reply) =>
    reply.kind === 'message' ? [decodeLink(reply.message.body)] : [],
  )
  const plain = {
    isOperational: false,
    txQueueLength: 1000,
    alias: undefined,
    master: undefined,
    peer: undefined,
    port: undefined,
  }
  // IFF_UP 1, BROADCAST 2, LOOPBACK 8, RUNNING 0x40, MULTICAST 0x1000, LOWER_UP 0x10000
  const want = [
    { ...plain, index: 1, name: 'lo', flags: 0x10049, mtuBytes: 65536, kind: undefined },
    { ...plain, index: 2, name: 'eth0', flags: 0x1002, mtuBytes: 1500, kind: 'veth', peer: 3 },
    {
      ...plain,
      index: 3,
      name: 'host0',
      flags: 0x1003,
      mtuBytes: 1400,
      kind: 'veth',
      alias: 'tulle1 10.1.0.5 eth0',
      master: 4,
      peer: 2,
      port: { hairpin: true, isolated: true, isForwarding: false },
    },
    { ...plain, index: 4, name: 'br0', flags: 0x1003, mtuBytes: 1400, kind: 'bridge' },
  ]
  const macs = links.map((one) => one.mac && formatMac(one.mac))
  t.strictSame(
    links.map(({ mac: _, ...rest }) => rest),
    want,
  )
  t.strictSame(macs, [
    '00:00:00:00:00:00',
    '0a:58:0a:01:00:05',
    '0a:58:0a:01:00:01',
    '0a:58:0a:01:00:02',
  ])
})

const head = bytes('00000100 03000000 43100000 ffffffff')
const bodyOf = (...attributes: readonly Uint8Array[]): Uint8Array =>
  Uint8Array.from([head, ...attributes].flatMap((part) => [...part]))
const portInfo = (kind: string, ...flags: readonly Uint8Array[]): Uint8Array =>
  nested(18, [text(1, 'veth'), text(4, kind), nested(5, flags)])

for (const row of [
  { why: 'no attribute at all', attributes: [], want: { name: '', mtuBytes: 0 } },
  { why: 'a name without NUL', attributes: [attribute(3, Buffer.from('a'))], want: { name: 'a' } },
  { why: 'an alias of no bytes', attributes: [attribute(20, bytes(''))], want: { alias: '' } },
  {
    why: 'an address of 20 bytes (InfiniBand) is none of ours',
    attributes: [attribute(1, new Uint8Array(20))],
    want: { mac: undefined },
  },
  {
    why: 'the last of two names',
    attributes: [text(3, 'first'), text(3, 'last')],
    want: { name: 'last' },
  },
  {
    why: 'unknown attributes are passed over',
    attributes: [u32(999, 1), u32(4, 1400)],
    want: { mtuBytes: 1400 },
  },
  {
    why: 'a port that has hairpin alone',
    attributes: [portInfo('bridge', u8(4, 1))],
    want: { kind: 'veth', port: { hairpin: true, isolated: false } },
  },
  {
    why: 'a port that is isolated alone',
    attributes: [portInfo('bridge', u8(4, 0), u8(33, 1))],
    want: { port: { hairpin: false, isolated: true } },
  },
  {
    why: 'a port that forwards (BR_STATE_FORWARDING)',
    attributes: [portInfo('bridge', u8(1, 3))],
    want: { port: { hairpin: false, isolated: false, isForwarding: true } },
  },
  {
    why: 'a port that learns does not forward yet',
    attributes: [portInfo('bridge', u8(1, 2))],
    want: { port: { isForwarding: false } },
  },
  { why: 'a queue', attributes: [u32(13, 250)], want: { txQueueLength: 250 } },
  { why: 'IF_OPER_UP', attributes: [u8(16, 6)], want: { isOperational: true } },
  { why: 'IF_OPER_DORMANT', attributes: [u8(16, 5)], want: { isOperational: false } },
  {
    why: 'a port of a bond is no bridge port',
    attributes: [portInfo('bond', u8(4, 1))],
    want: { port: undefined },
  },
  {
    why: 'a master of the kind only',
    attributes: [nested(18, [text(4, 'bridge')])],
    want: { port: undefined },
  },
])
  test(`decodeLink: ${row.why}`, async (t) => {
    const found = decodeLink(bodyOf(...row.attributes))
    t.match(found, { index: 3, flags: 0x1043, ...row.want })
  })
