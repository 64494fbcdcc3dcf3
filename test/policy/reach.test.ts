import fc from 'fast-check'
import { test } from 'tap'
import { fromObjects } from '../../src/policy/from-objects.ts'
import { reach } from '../../src/policy/reach.ts'
import { includes, spanOf, spansKey } from '../../src/policy/spans.ts'
import { verdict } from '../../src/policy/verdict.ts'
import { holds } from '../base/law.ts'
import { clusterOf, namespace, np, pod } from './objects.ts'
import { pods, policies, spaces } from './random.ts'
import { connectionsOf, isGroupOf, portOf, portOfConnection } from './states.ts'
import { allowedIn, objectsOf, steps } from './truth.ts'

test('the truth table holds of what is reached, every step', async (t) => {
  for (const step of steps()) {
    const manifests = objectsOf(step).map((object, index) => ({ place: `object ${index}`, object }))
    const { groups, allowed } = reach(fromObjects(manifests).cluster)
    const found = Object.keys(step.Probed).flatMap((text) => {
      const [word, number] = text.split('/')
      const { protocol, port } = portOf(word ?? '', Number(number))
      return groups.flatMap((from, source) =>
        groups.flatMap((to, target) =>
          from.kind === 'pods' &&
          to.kind === 'pods' &&
          includes(allowed[source]?.[target] ?? [], protocol, port)
            ? from.members.flatMap((one) =>
                to.members.filter((two) => two !== one).map((two) => `${one}>${two} ${text}`),
              )
            : [],
        ),
      )
    })
    t.same(found.sort(), allowedIn(step), `case ${step.Case} step ${step.Step}: ${step.Desc}`)
  }
})

test('law: what is reached is the reference’s verdict', async (t) =>
  holds(
    t,
    fc.property(pods, policies, (all, some) => {
      const cluster = clusterOf(...spaces, ...all, ...some)
      const reached = reach(cluster)
      return connectionsOf(cluster).every((connection) => {
        const { from, to } = connection
        if (from.kind === 'pod' && to.kind === 'pod' && from.pod === to.pod) return true // P34
        const { protocol, port } = portOfConnection(connection)
        const source = reached.groups.findIndex((group) => isGroupOf(group, from, to))
        const target = reached.groups.findIndex((group) => isGroupOf(group, to, from))
        const spans = reached.allowed[source]?.[target] ?? []
        return includes(spans, protocol, port) === verdict(cluster, connection).isAllowed
      })
    }),
    300,
  ))

test('reached are ranges of ports and of addresses, without anything being tried', (t) => {
  const cluster = clusterOf(
    namespace('x'),
    pod('x/a', { ip: '10.0.0.1' }),
    pod('x/b', { ip: '10.0.0.2' }),
    np('x/p', {
      ingress: [
        {
          from: [{ ipBlock: { cidr: '192.0.2.0/24', except: ['192.0.2.128/25'] } }],
          ports: [{ port: 79 }, { port: 80, endPort: 90 }, { protocol: 'UDP' }],
        },
      ],
    }),
  )
  const { groups, allowed } = reach(cluster)
  t.same(groups, [
    { kind: 'pods', family: 4, members: ['x/a', 'x/b'] },
    {
      kind: 'world',
      family: 4,
      members: ['0.0.0.0-192.0.1.255', '192.0.2.128-255.255.255.255'],
    },
    { kind: 'world', family: 4, members: ['192.0.2.0-192.0.2.127'] },
    { kind: 'world', family: 6, members: ['::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'] },
  ])
  t.same(
    allowed.map((row) => spansKey(row[0] ?? [])),
    ['', '', spansKey([spanOf('TCP', 79, 90), spanOf('UDP', 0, 65_535)]), ''],
    'what the pods are asked',
  )
  t.same(
    allowed[0]?.map((spans) => spansKey(spans)),
    ['', '0-255:0-65535', '0-255:0-65535', ''],
    'what the pods ask',
  )
  t.end()
})
