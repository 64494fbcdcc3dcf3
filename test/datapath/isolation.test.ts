import { test } from 'tap'
import { type Extras, elementsOfExtras } from '../../src/datapath/extras.ts'
import { circleOf, elementsToDrop, type IsolationPolicy } from '../../src/datapath/isolation.ts'
import { circleChainOf, inetTable, setsOf } from '../../src/datapath/ruleset.ts'
import { printRule } from './printed-rules.ts'

const extras = (policy: IsolationPolicy, more: Partial<Extras> = {}): Extras => ({
  network: 'net',
  container: 'c1',
  ifname: 'eth0',
  plugin: 'tulle',
  ips: ['10.1.0.5'],
  hostLink: 'tul0123456789a',
  bridge: null,
  hostPorts: null,
  shaping: null,
  tuning: null,
  isolation: { policy, wasOpenPort: false },
  isAccepted: false,
  ...more,
})
const bridged = { bridge: 'cni0' }

for (const { why, of, sets, comment } of [
  {
    why: 'routed, same-bridge',
    of: extras('same-bridge'),
    sets: ['fenced', 'circle', 'circles'],
    comment: 'net/c1/eth0',
  },
  {
    why: 'routed, isolated',
    of: extras('isolated'),
    sets: ['fenced', 'circle', 'circles'],
    comment: 'net/c1/eth0',
  },
  {
    why: 'bridged, same-bridge',
    of: extras('same-bridge', bridged),
    sets: ['fenced', 'circle', 'circles'],
    comment: 'behind cni0',
  },
  {
    why: 'bridged, isolated',
    of: extras('isolated', bridged),
    sets: ['fenced', 'solitary'],
    comment: 'behind cni0',
  },
  { why: 'no policy', of: { ...extras('isolated'), isolation: null }, sets: [], comment: '' },
])
  test(`elements: ${why}`, async (t) => {
    const elements = elementsOfExtras(of)
    t.strictSame(
      elements.map(({ set }) => set),
      sets,
    )
    for (const element of elements) {
      t.ok(setsOf(inetTable).includes(element.set))
      t.equal(element.comment, comment)
      t.equal(element.isShared ?? false, of.bridge !== null, 'shared by all behind a bridge')
    }
  })

const numberOf = (one: Extras): string | undefined => circleOf(one)?.chain

for (const { why, left, right, isSame } of [
  {
    why: 'routed pods of one network',
    left: extras('same-bridge'),
    right: extras('same-bridge', { container: 'c2', hostLink: 'tul2' }),
    isSame: true,
  },
  {
    why: 'routed pods of two networks',
    left: extras('same-bridge'),
    right: extras('same-bridge', { network: 'other', hostLink: 'tul2' }),
    isSame: false,
  },
  {
    why: 'isolated routed pods of one network',
    left: extras('isolated'),
    right: extras('isolated', { container: 'c2', hostLink: 'tul2' }),
    isSame: false,
  },
  {
    why: 'two networks on one bridge',
    left: extras('same-bridge', bridged),
    right: extras('same-bridge', { ...bridged, network: 'other' }),
    isSame: true,
  },
  {
    why: 'a bridge and a network of one name',
    left: extras('same-bridge', { bridge: 'net' }),
    right: extras('same-bridge'),
    isSame: false,
  },
])
  test(`a circle: ${why}`, async (t) => t.equal(numberOf(left) === numberOf(right), isSame))

for (const { why, of, others, left } of [
  { why: 'the last one', of: extras('same-bridge', bridged), others: [], left: [] },
  {
    why: 'one of the same policy stays',
    of: extras('same-bridge', bridged),
    others: ['same-bridge'],
    left: ['fenced', 'circle', 'circles'],
  },
  {
    why: 'one of the other stays',
    of: extras('same-bridge', bridged),
    others: ['isolated'],
    left: ['fenced'],
  },
  { why: 'a routed pod shares nothing', of: extras('isolated'), others: ['isolated'], left: [] },
] as const)
  test(`what stays: ${why}`, async (t) => {
    const elements = elementsOfExtras(of)
    const dropped = elementsToDrop(elements, of, others)
    t.strictSame(
      elements.filter((one) => !dropped.includes(one)).map(({ set }) => set),
      left,
    )
  })

test('the chain of a circle', async (t) => {
  const lines = circleChainOf(extras('same-bridge', bridged))?.queries.flatMap(printRule) ?? []
  const [, digest] = /^chain circle-([0-9a-f]{8})$/.exec(lines[0] ?? '') ?? []
  t.strictSame(lines.slice(1), [
    `rule in circle-${digest}: "to a pod of this circle"`,
    '  meta load oifname => reg 8',
    `  immediate reg 12 ${digest}`,
    '  lookup reg 8 set circles',
    '  immediate reg 0 accept',
  ])
  t.equal(circleChainOf(extras('isolated', bridged)), undefined)
})
