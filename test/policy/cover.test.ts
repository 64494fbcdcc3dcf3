import { test } from 'tap'
import { coversRule } from '../../src/policy/cover.ts'
import { clusterOf, np } from './objects.ts'

const ruleOf = (rule: object) => {
  const { policies } = clusterOf(np('x/p', { podSelector: {}, ingress: [rule] }))
  const found = policies[0]?.rules[0]
  if (!found) throw new Error('Cannot find the rule')
  return found
}
const pods = (...matchExpressions: readonly object[]) => ({
  from: [{ podSelector: { matchExpressions } }],
})
const app = (operator: string, ...values: readonly string[]) => ({
  key: 'app',
  operator,
  ...(values.length > 0 ? { values } : {}),
})
const block = (cidr: string, ...except: readonly string[]) => ({
  from: [{ ipBlock: { cidr, except } }],
})
const port = (one: object) => ({ ports: [one] })
const named = { key: 'kubernetes.io/metadata.name', operator: 'In', values: ['x'] }

for (const { why, wide, narrow, is } of [
  { why: 'anybody, somebody', wide: {}, narrow: pods(app('Exists')), is: true },
  { why: 'somebody, anybody', wide: pods(app('Exists')), narrow: {}, is: false },
  { why: 'all pods, some', wide: pods(), narrow: pods(app('In', 'a')), is: true },
  { why: 'some pods, all', wide: pods(app('In', 'a')), narrow: pods(), is: false },
  { why: 'more values', wide: pods(app('In', 'a', 'b')), narrow: pods(app('In', 'a')), is: true },
  { why: 'fewer values', wide: pods(app('In', 'a')), narrow: pods(app('In', 'a', 'b')), is: false },
  { why: 'Exists, In', wide: pods(app('Exists')), narrow: pods(app('In', 'a')), is: true },
  { why: 'Exists, NotIn', wide: pods(app('Exists')), narrow: pods(app('NotIn', 'a')), is: false },
  {
    why: 'NotIn fewer',
    wide: pods(app('NotIn', 'a')),
    narrow: pods(app('NotIn', 'a', 'b')),
    is: true,
  },
  {
    why: 'NotIn more',
    wide: pods(app('NotIn', 'a', 'b')),
    narrow: pods(app('NotIn', 'a')),
    is: false,
  },
  {
    why: 'NotIn, absent',
    wide: pods(app('NotIn', 'a')),
    narrow: pods(app('DoesNotExist')),
    is: true,
  },
  { why: 'NotIn, another', wide: pods(app('NotIn', 'a')), narrow: pods(app('In', 'b')), is: true },
  {
    why: 'NotIn, the same',
    wide: pods(app('NotIn', 'a')),
    narrow: pods(app('In', 'a')),
    is: false,
  },
  {
    why: 'its own namespace by its label',
    wide: pods(),
    narrow: { from: [{ namespaceSelector: { matchExpressions: [named] } }] },
    is: true,
  },
  {
    why: 'every namespace',
    wide: pods(),
    narrow: { from: [{ namespaceSelector: {} }] },
    is: false,
  },
  { why: 'a block within', wide: block('10.0.0.0/8'), narrow: block('10.1.0.0/16'), is: true },
  { why: 'a block around', wide: block('10.1.0.0/16'), narrow: block('10.0.0.0/8'), is: false },
  { why: 'another family', wide: block('::/0'), narrow: block('10.0.0.0/8'), is: false },
  {
    why: 'a hole elsewhere',
    wide: block('10.0.0.0/8', '10.2.0.0/16'),
    narrow: block('10.1.0.0/16'),
    is: true,
  },
  {
    why: 'a hole in it',
    wide: block('10.0.0.0/8', '10.1.2.0/24'),
    narrow: block('10.1.0.0/16'),
    is: false,
  },
  {
    why: 'a hole that both have',
    wide: block('10.0.0.0/8', '10.1.2.0/24'),
    narrow: block('10.1.0.0/16', '10.1.2.0/23'),
    is: true,
  },
  { why: 'a block and pods', wide: block('0.0.0.0/0'), narrow: pods(), is: false },
  { why: 'every port', wide: {}, narrow: port({ port: 80 }), is: true },
  { why: 'one port', wide: port({ port: 80 }), narrow: {}, is: false },
  { why: 'a range', wide: port({ port: 1, endPort: 80 }), narrow: port({ port: 80 }), is: true },
  {
    why: 'a range less one',
    wide: port({ port: 1, endPort: 79 }),
    narrow: port({ port: 80 }),
    is: false,
  },
  { why: 'a protocol', wide: port({ protocol: 'TCP' }), narrow: port({ port: 'http' }), is: true },
  {
    why: 'another protocol',
    wide: port({ protocol: 'UDP' }),
    narrow: port({ port: 80 }),
    is: false,
  },
  {
    why: 'a number and a name',
    wide: port({ port: 80 }),
    narrow: port({ port: 'http' }),
    is: false,
  },
])
  test(`covers: ${why}: ${is}`, async (t) => {
    t.equal(coversRule(ruleOf(wide), ruleOf(narrow)), is)
  })
