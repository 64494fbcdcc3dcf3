import fc from 'fast-check'
import { test } from 'tap'
import { reach } from '../../src/policy/reach.ts'
import { reachChanges } from '../../src/policy/reach-changes.ts'
import { includes, spansKey } from '../../src/policy/spans.ts'
import { verdict } from '../../src/policy/verdict.ts'
import { holds } from '../base/law.ts'
import { clusterOf, namespace, np, pod } from './objects.ts'
import { pods, policies, spaces } from './random.ts'
import { connectionsOf, isGroupOf, portOfConnection } from './states.ts'

test('law: what is opened and closed is what the reference says of before and after', async (t) =>
  holds(
    t,
    fc.property(pods, policies, policies, (all, some, others) => {
      const before = clusterOf(...spaces, ...all, ...some)
      const after = clusterOf(...spaces, ...all, ...others)
      const changes = reachChanges(reach(before), reach(after))
      const was = connectionsOf(before)
      return connectionsOf(after).every((connection, at) => {
        const { from, to } = connection
        if (from.kind !== 'pod' && to.kind !== 'pod') return true
        if (from.kind === 'pod' && to.kind === 'pod' && from.pod === to.pod) return true // P34
        const { protocol, port } = portOfConnection(connection)
        const ours = changes.filter(
          (change) => isGroupOf(change.from, from, to) && isGroupOf(change.to, to, from),
        )
        const old = was[at]
        if (!old || ours.length > 1) return false
        const [wasAllowed, isAllowed] = [verdict(before, old), verdict(after, connection)].map(
          (one) => one.isAllowed,
        )
        const [change] = ours
        return (
          includes(change?.opened ?? [], protocol, port) === (isAllowed && !wasAllowed) &&
          includes(change?.closed ?? [], protocol, port) === (wasAllowed && !isAllowed)
        )
      })
    }),
    200,
  ))

test('a change is told in ranges, and pods that come and go are among it', (t) => {
  const [space, a, b, c] = [
    namespace('x'),
    ...['a', 'b', 'c'].map((name, at) => pod(`x/${name}`, { ip: `10.0.0.${at + 1}` })),
  ]
  const open = (cidr: string, endPort: number) =>
    np('x/p', { ingress: [{ from: [{ ipBlock: { cidr } }], ports: [{ port: 80, endPort }] }] })
  const before = reach(clusterOf(space, a, b, open('192.0.2.0/24', 90)))
  const after = reach(clusterOf(space, a, b, open('192.0.2.0/25', 99)))
  const told = (changes: ReturnType<typeof reachChanges>) =>
    changes.map(
      ({ from, to, opened, closed }) =>
        `${from.members.join()} > ${to.members.join()}: ` +
        `opens ${spansKey(opened) || 'nothing'}, closes ${spansKey(closed) || 'nothing'}`,
    )
  t.same(told(reachChanges(before, after)), [
    '192.0.2.0-192.0.2.127 > x/a,x/b: opens 6-6:91-99, closes nothing',
    '192.0.2.128-192.0.2.255 > x/a,x/b: opens nothing, closes 6-6:80-90',
  ])
  t.same(reachChanges(before, before), [])
  const closed = np('x/p', {})
  const [less, more] = [reach(clusterOf(space, a, closed)), reach(clusterOf(space, a, c, closed))]
  const everywhere = '0.0.0.0-255.255.255.255'
  t.same(told(reachChanges(less, more)), [
    `x/c > ${everywhere}: opens 0-255:0-65535, closes nothing`,
  ])
  t.same(told(reachChanges(more, less)), [
    `x/c > ${everywhere}: opens nothing, closes 0-255:0-65535`,
  ])
  t.end()
})
