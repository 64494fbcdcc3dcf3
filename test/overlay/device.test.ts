import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { test } from 'tap'
import { addressBytes, formatAddress } from '../../src/base/address.ts'
import { parseMac } from '../../src/base/mac.ts'
import { formatPrefix } from '../../src/base/prefix.ts'
import { devicesOf, podMtuBytes, tunnelMac } from '../../src/overlay/device.ts'
import { holds } from '../base/law.ts'
import { address, prefix } from '../wire/values.ts'
import { options, selfWith, withMode } from './values.ts'

test('tunnelMac: IPv4 can be read off it, IPv6 is 46 bits of its SHA-256', async (t) => {
  t.equal(tunnelMac(address('10.0.0.5')), '02:74:0a:00:00:05')
  const law = fc.property(fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }), (value) => {
    const hash = createHash('sha256')
      .update(addressBytes({ family: 6, value }))
      .digest()
    const first = ((hash[0] ?? 0) & 0xfc) | 2
    const want = Buffer.from([first, ...hash.subarray(1, 6)]).toString('hex')
    const mac = tunnelMac({ family: 6, value })
    return mac.replaceAll(':', '') === want && parseMac(mac) !== undefined
  })
  holds(t, law)
})

const lines = (...args: Parameters<typeof devicesOf>): readonly string[] =>
  devicesOf(...args).map(
    (one) =>
      `${one.name} id ${one.vni} port ${one.port} local ${formatAddress(one.local)} ` +
      `mtu ${one.mtuBytes} ${one.addresses.map(formatPrefix).join(' ')}`,
  )

for (const { why, self, asked = options, want, mtu } of [
  {
    why: 'one over each family of the underlay',
    self: selfWith('46'),
    want: [
      'tulle.1 id 1 port 8472 local 10.0.0.1 mtu 1450 10.1.1.0/32',
      'tulle-v6.1 id 1 port 8472 local fd00::1 mtu 1430 fd01:1::/128',
    ],
    mtu: 1430,
  },
  {
    why: 'over IPv4 alone, IPv6 pods ride it too',
    self: selfWith('4'),
    want: ['tulle.1 id 1 port 8472 local 10.0.0.1 mtu 1450 10.1.1.0/32 fd01:1::/128'],
    mtu: 1450,
  },
  {
    why: 'over IPv6 alone',
    self: selfWith('6'),
    want: ['tulle-v6.1 id 1 port 8472 local fd00::1 mtu 1430 10.1.1.0/32 fd01:1::/128'],
    mtu: 1430,
  },
  {
    why: 'pods of one family: the MTU of the tunnel that they ride',
    self: selfWith('46', { podCIDRs: [prefix('10.1.1.0/24')] }),
    want: [
      'tulle.1 id 1 port 8472 local 10.0.0.1 mtu 1450 10.1.1.0/32',
      'tulle-v6.1 id 1 port 8472 local fd00::1 mtu 1430 ',
    ],
    mtu: 1450,
  },
  {
    why: 'VNI, port and MTU as asked',
    self: selfWith('4', { podCIDRs: [prefix('10.1.1.0/24')] }),
    asked: { ...options, vni: 77, port: 4789, mtuBytes: 1300 },
    want: ['tulle.1 id 77 port 4789 local 10.0.0.1 mtu 1300 10.1.1.0/32'],
    mtu: 1300,
  },
  {
    why: "direct: pods have the link's whole MTU",
    self: selfWith('4', { podCIDRs: [prefix('10.1.1.0/24')] }),
    asked: withMode('direct'),
    want: ['tulle.1 id 1 port 8472 local 10.0.0.1 mtu 1450 10.1.1.0/32'],
    mtu: 1500,
  },
  {
    why: 'direct for all but this node',
    self: selfWith('4', { podCIDRs: [prefix('10.1.1.0/24')], mode: 'vxlan' }),
    asked: withMode('direct'),
    want: ['tulle.1 id 1 port 8472 local 10.0.0.1 mtu 1450 10.1.1.0/32'],
    mtu: 1450,
  },
])
  test(`devicesOf, ${why}`, async (t) => {
    t.strictSame(lines(self, asked), want)
    t.equal(podMtuBytes(self, asked), mtu)
  })
