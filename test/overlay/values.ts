import fc from 'fast-check'
import { formatAddress } from '../../src/base/address.ts'
import { formatPrefix, type Prefix } from '../../src/base/prefix.ts'
import type { ClusterNode, RouteMode } from '../../src/cluster/node.ts'
import type { FabricEntry, Self } from '../../src/overlay/fabric.ts'
import { defaultOverlay, type OverlayOptions } from '../../src/overlay/options.ts'
import { address, prefix } from '../wire/values.ts'

export const options = defaultOverlay

type NodeWords = Partial<Omit<ClusterNode, 'name' | 'addresses' | 'podCIDRs'>>

/** A node of words: addresses and podCIDRs, blank-separated. */
export const node = (
  name: string,
  addresses: string,
  podCIDRs: string,
  rest: NodeWords = {},
): ClusterNode => ({
  name,
  addresses: addresses.split(' ').filter(Boolean).map(address),
  podCIDRs: podCIDRs.split(' ').filter(Boolean).map(prefix),
  ...rest,
})

const way4 = {
  address: address('10.0.0.1'),
  link: 'eth0',
  mtuBytes: 1500,
  onLink: [prefix('10.0.0.0/24')],
}
const way6 = {
  address: address('fd00::1'),
  link: 'eth0',
  mtuBytes: 1500,
  onLink: [prefix('fd00::/64')],
}

/** Node a: 10.0.0.1/24 and fd00::1/64 on eth0, pods in 10.1.1.0/24 and fd01:1::/64. */
export const selfWith = (families: '4' | '6' | '46', rest: Partial<Self> = {}): Self => ({
  name: 'a',
  podCIDRs: [prefix('10.1.1.0/24'), prefix('fd01:1::/64')],
  underlay: {
    ...(families.includes('4') ? { 4: way4 } : {}),
    ...(families.includes('6') ? { 6: way6 } : {}),
  },
  ...rest,
})

export const withMode = (mode: RouteMode): OverlayOptions => ({ ...options, mode })

/** As `ip` and `bridge` would be told. */
export function lineOf(entry: FabricEntry): string {
  switch (entry.kind) {
    case 'route':
      return [
        `route ${formatPrefix(entry.destination)} via ${formatAddress(entry.gateway)}`,
        `dev ${entry.link}${entry.onlink ? ' onlink' : ''}`,
        entry.source ? `src ${formatAddress(entry.source)}` : '',
      ]
        .join(' ')
        .trim()
    case 'neighbour':
      return `neighbour ${formatAddress(entry.address)} lladdr ${entry.mac} dev ${entry.link}`
    case 'fdb':
      return `fdb ${entry.mac} dst ${formatAddress(entry.destination)} dev ${entry.link}`
  }
}

const octet = (number: number): Prefix => prefix(`10.1.${number}.0/24`)
const group = (number: number): Prefix => prefix(`fd01:${number.toString(16)}::/64`)

/** Few names, addresses and networks, so that nodes clash, and change. */
export const anyNode: fc.Arbitrary<ClusterNode> = fc.record(
  {
    name: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    addresses: fc
      .uniqueArray(
        fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3', '10.9.0.4', 'fd00::2', 'fd09::3'),
        { maxLength: 3 },
      )
      .map((texts) => texts.map(address)),
    podCIDRs: fc
      .uniqueArray(fc.integer({ min: 1, max: 6 }), { maxLength: 3 })
      .map((numbers) =>
        numbers.map((number) => (number % 2 === 0 ? octet(number) : group(number))),
      ),
    mode: fc.constantFrom<RouteMode>('auto', 'vxlan', 'direct'),
    flannel: fc.constantFrom([
      {
        family: 4 as const,
        address: address('10.0.0.7'),
        mac: '0e:00:00:00:00:07',
        vni: 1,
      },
    ]),
  },
  { requiredKeys: ['name', 'addresses', 'podCIDRs'] },
)
export const anyOptions: fc.Arbitrary<OverlayOptions> = fc
  .constantFrom<RouteMode>('auto', 'vxlan', 'direct')
  .map(withMode)
export const anySelf: fc.Arbitrary<Self> = fc
  .constantFrom<'4' | '6' | '46'>('4', '6', '46')
  .map((families) => selfWith(families))
