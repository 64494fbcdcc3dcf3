import fc from 'fast-check'
import { test } from 'tap'
import { type Family, formatAddress, parseAddress } from '../../src/base/address.ts'
import { podKey } from '../../src/cluster/pod.ts'
import { type Endpoint, isOwnNode } from '../../src/policy/endpoint.ts'
import { fromObjects } from '../../src/policy/from-objects.ts'
import { type Group, type Reachability, reach } from '../../src/policy/reach.ts'
import { includes, spanOf, spansKey } from '../../src/policy/spans.ts'
import { verdict } from '../../src/policy/verdict.ts'
import { holds } from '../base/law.ts'
import { clusterOf, namespace, np, pod } from './objects.ts'
import { pods, policies, spaces } from './random.ts'
import { connectionsOf, portOf } from './states.ts'
import { allowedIn, objectsOf, steps } from './truth.ts'

/** The group of an endpoint, as seen from the other end. */
function placeOf({ groups }: Reachability, end: Endpoint, other: Endpoint): number {
  const { family } = end.address
  const [kind, isMember] = lookOf(end, other)
  const found = groups.findIndex(
    (group) => group.kind === kind && group.family === family && group.members.some(isMember),
  )
  if (found < 0) throw new Error(`Cannot find ${kind} ${formatAddress(end.address)}`)
  return found
}

function lookOf(end: Endpoint, other: Endpoint): [Group['kind'], (member: string) => boolean] {
  const text = formatAddress(end.address)
  switch (end.kind) {
    case 'pod':
      return ['pods', (member) => member === podKey(end.pod)]
    case 'node': {
      const isOwn = other.kind === 'pod' && isOwnNode(other.pod, end)
      return [isOwn ? 'own-node' : 'other-node', (member) => member === text]
    }
    case 'world':
      return ['world', (member) => isInRange(member, end.address.family, end.address.value)]
  }
}

function isInRange(member: string, family: Family, value: bigint): boolean {
  const [first, last] = member.split('-').map(parseAddress)
  return first?.family === family && first.value <= value && value <= (last?.value ?? -1n)
}

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
        const { protocol, port } =
          connection.protocol === 'ICMP'
            ? portOf('ICMP', 0)
            : portOf(connection.protocol, connection.port)
        const row = reached.allowed[placeOf(reached, from, to)]
        const spans = row?.[placeOf(reached, to, from)] ?? []
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
