import fc from 'fast-check'
import { test } from 'tap'
import { formatPrefix, type Prefix, parsePrefix } from '../../src/base/prefix.ts'
import { type AddressPlan, planBridgeAddresses } from '../../src/datapath/bridge.ts'
import { holds } from '../base/law.ts'

const prefixes = (texts: readonly string[]): readonly Prefix[] =>
  texts.flatMap((text) => parsePrefix(text) ?? [])

const text = (plan: AddressPlan): object =>
  'conflict' in plan
    ? plan
    : { add: plan.add.map(formatPrefix), remove: plan.remove.map(formatPrefix) }

const plan = (wanted: readonly string[], observed: readonly string[], how: 'refuse' | 'replace') =>
  text(planBridgeAddresses(prefixes(wanted), prefixes(observed), how))

for (const { why, wanted, observed, refuse, replace } of [
  {
    why: 'a new bridge',
    wanted: ['10.1.0.1/24', 'fd00::1/64'],
    observed: [],
    refuse: { add: ['10.1.0.1/24', 'fd00::1/64'], remove: [] },
  },
  {
    why: 'all there',
    wanted: ['10.1.0.1/24'],
    observed: ['10.1.0.1/24'],
    refuse: { add: [], remove: [] },
  },
  {
    why: 'a second family joins',
    wanted: ['10.1.0.1/24', 'fd00::1/64'],
    observed: ['10.1.0.1/24'],
    refuse: { add: ['fd00::1/64'], remove: [] },
  },
  {
    why: 'another IPv4 address, of whatever subnet, is in the way',
    wanted: ['10.1.0.1/24'],
    observed: ['192.168.0.1/16'],
    refuse: { conflict: '192.168.0.1/16' },
    replace: { add: ['10.1.0.1/24'], remove: ['192.168.0.1/16'] },
  },
  {
    why: 'the same address with another length is another one',
    wanted: ['10.1.0.1/24'],
    observed: ['10.1.0.1/16'],
    refuse: { conflict: '10.1.0.1/16' },
    replace: { add: ['10.1.0.1/24'], remove: ['10.1.0.1/16'] },
  },
  {
    why: 'even beside the wanted one',
    wanted: ['10.1.0.1/24'],
    observed: ['10.1.0.1/24', '10.9.0.1/24'],
    refuse: { conflict: '10.9.0.1/24' },
    replace: { add: [], remove: ['10.9.0.1/24'] },
  },
  {
    why: 'two wanted IPv4 addresses are not in each other’s way',
    wanted: ['10.1.0.1/24', '10.2.0.1/24'],
    observed: ['10.2.0.1/24'],
    refuse: { add: ['10.1.0.1/24'], remove: [] },
  },
  {
    why: 'IPv6 of another subnet may stay',
    wanted: ['fd00::1/64'],
    observed: ['fd01::1/64', '2001:db8::1/64'],
    refuse: { add: ['fd00::1/64'], remove: [] },
  },
  {
    why: 'IPv6 that overlaps is in the way',
    wanted: ['fd00::1/64'],
    observed: ['fd00::2/48', 'fd01::1/64'],
    refuse: { conflict: 'fd00::2/48' },
    replace: { add: ['fd00::1/64'], remove: ['fd00::2/48'] },
  },
  {
    why: 'an IPv4 network has no say about IPv6 addresses',
    wanted: ['10.1.0.1/24'],
    observed: ['fd00::1/64'],
    refuse: { add: ['10.1.0.1/24'], remove: [] },
  },
  {
    why: 'no gateway: whatever is there stays',
    wanted: [],
    observed: ['10.9.0.1/24', 'fd00::1/64'],
    refuse: { add: [], remove: [] },
  },
]) {
  test(`bridge addresses: ${why}`, async (t) => {
    t.strictSame(plan(wanted, observed, 'refuse'), refuse)
    t.strictSame(plan(wanted, observed, 'replace'), replace ?? refuse, 'with forceAddress')
  })
}

const one = fc.constantFrom(
  '10.1.0.1/24',
  '10.1.0.1/16',
  '10.1.0.2/24',
  '10.2.0.1/24',
  'fd00::1/64',
  'fd00::2/48',
  'fd00:0:0:1::1/64',
  'fd01::1/64',
)
const some = fc.uniqueArray(one, { maxLength: 4 })

test('after a plan nothing is left to plan', async (t) => {
  const property = fc.property(some, some, (wanted, observed) => {
    const first = plan(wanted, observed, 'replace') as { add: string[]; remove: string[] }
    const after = [...observed.filter((there) => !first.remove.includes(there)), ...first.add]
    const again = plan(wanted, after, 'refuse')
    return (
      wanted.every((wish) => after.includes(wish)) &&
      JSON.stringify(again) === JSON.stringify({ add: [], remove: [] })
    )
  })
  holds(t, property)
})

test('without forceAddress it is refused if and only if something had to go', async (t) => {
  const property = fc.property(some, some, (wanted, observed) => {
    const forced = plan(wanted, observed, 'replace') as { remove: string[] }
    return 'conflict' in plan(wanted, observed, 'refuse') === forced.remove.length > 0
  })
  holds(t, property)
})
