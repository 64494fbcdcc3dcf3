import fc from 'fast-check'
import { test } from 'tap'
import { parseAddress } from '../../src/base/address.ts'
import { endpointAt, endpointOf } from '../../src/policy/endpoint.ts'
import { fromObjects } from '../../src/policy/from-objects.ts'
import { livingPods, matrixOf } from '../../src/policy/matrix.ts'
import type { Cluster } from '../../src/policy/model.ts'
import { prepare } from '../../src/policy/prepare.ts'
import { admitting } from '../../src/policy/suggest.ts'
import { type Connection, verdict } from '../../src/policy/verdict.ts'
import { holds } from '../base/law.ts'
import { clusterOf, cnp, connectionOf, namespace, np, pod } from './objects.ts'
import { networkPolicies, networkPolicy, pods, policies, selector, spaces } from './random.ts'

// What holds of any policies, whatever they say.

const flows = [
  ['TCP', 80],
  ['TCP', 81],
  ['UDP', 81],
  ['SCTP', 9],
] as const
/** Every flow, and each pod with the world, as one text: equal where all verdicts are. */
function told(cluster: Cluster): string {
  const outside = livingPods(cluster).flatMap(({ namespace: where, name }) =>
    ['80', '82/UDP', 'ICMP'].flatMap((asked) => [
      verdict(cluster, connectionOf(cluster, '192.0.2.7', `${where}/${name}`, asked)).isAllowed,
      verdict(cluster, connectionOf(cluster, `${where}/${name}`, '192.0.2.7', asked)).isAllowed,
    ]),
  )
  return JSON.stringify([matrixOf(cluster), outside])
}

const allowedBy = (objects: readonly object[]): ReadonlySet<string> =>
  new Set(matrixOf(clusterOf(...objects)).allowed.map((flow) => JSON.stringify(flow)))

const turned = (spec: unknown): unknown =>
  Array.isArray(spec)
    ? spec.map(turned).reverse()
    : typeof spec === 'object' && spec !== null
      ? Object.fromEntries(Object.entries(spec).map(([key, value]) => [key, turned(value)]))
      : spec

test('law: prepared verdicts are the reference’s', async (t) =>
  holds(
    t,
    fc.property(pods, policies, (all, some) => {
      const cluster = clusterOf(...spaces, ...all, ...some)
      const outside = ['192.0.2.7', '192.168.0.2', '2001:db8::1'].map((text) => {
        const address = parseAddress(text)
        if (!address) throw new Error(text)
        return endpointAt(cluster, address)
      })
      const endpoints = [
        ...livingPods(cluster).flatMap((one) =>
          one.addresses.map((address) => endpointOf(one, address)),
        ),
        ...outside,
      ]
      const { isAllowed } = prepare(cluster, endpoints)
      return endpoints.every((from, source) =>
        endpoints.every((to, target) =>
          flows.every(
            ([protocol, port]) =>
              isAllowed(source, target, protocol, port) ===
              verdict(cluster, { from, to, protocol, port }).isAllowed,
          ),
        ),
      )
    }),
    200,
  ))

test('law: P12 the order of objects, rules, peers and ports does not matter', async (t) =>
  holds(
    t,
    fc.property(pods, policies, (all, some) => {
      const one = clusterOf(...spaces, ...all, ...some)
      const other = clusterOf(...some.toReversed().map(turned), ...all, ...spaces.toReversed())
      return told(one) === told(other)
    }),
    200,
  ))

test('law: P12 of policies that isolate the same, a further rule only widens', async (t) =>
  holds(
    t,
    fc.property(pods, networkPolicies, networkPolicy, selector, (all, some, wide, subject) => {
      const rules = { ingress: wide.ingress ?? [], egress: wide.egress ?? [] }
      const closed = { podSelector: subject, policyTypes: ['Ingress', 'Egress'] }
      const before = allowedBy([...spaces, ...all, ...some, np('x/more', closed)])
      const after = allowedBy([...spaces, ...all, ...some, np('x/more', { ...closed, ...rules })])
      return [...before].every((flow) => after.has(flow))
    }),
    200,
  ))

test('law: P47 a policy that selects nobody is as none at all', async (t) =>
  holds(
    t,
    fc.property(pods, policies, networkPolicy, (all, some, spec) => {
      const nobody = { ...spec, podSelector: { matchLabels: { no: 'body' } } }
      const one = clusterOf(...spaces, ...all, ...some)
      const other = clusterOf(...spaces, ...all, ...some, np('x/more', nobody))
      return told(one) === told(other)
    }),
    100,
  ))

test('law: verdicts depend on no pod, namespace or policy beside the two', async (t) =>
  holds(
    t,
    fc.property(pods, policies, (all, some) => {
      const one = clusterOf(...spaces, ...all, ...some)
      const strangers = [
        namespace('z', { app: 'a' }),
        pod('z/stranger', { ip: '10.0.9.9', labels: { app: 'a' } }),
        np('z/closed', { policyTypes: ['Ingress', 'Egress'] }),
        cnp('z/denied', { endpointSelector: {}, ingressDeny: [{ fromEntities: ['all'] }] }),
      ]
      const other = clusterOf(...strangers, ...spaces, ...all, ...some)
      const rest = matrixOf(other)
      const isOwn = ({ from, to }: { from: string; to: string }) =>
        !/^z\//.test(from) && !/^z\//.test(to)
      const own = { allowed: rest.allowed.filter(isOwn), denied: rest.denied.filter(isOwn) }
      return JSON.stringify(own) === JSON.stringify(matrixOf(one))
    }),
    100,
  ))

test('law: what explain proposes admits what was denied', async (t) =>
  holds(
    t,
    fc.property(pods, policies, (all, some) => {
      const objects = [...spaces, ...all, ...some]
      const cluster = clusterOf(...objects)
      const names = livingPods(cluster).map((one) => `${one.namespace}/${one.name}`)
      return names.every((from) =>
        [...names, '192.0.2.7', '192.168.0.2'].every((to) => {
          const asked = connectionOf(cluster, from, to, '80')
          const judged = verdict(cluster, asked)
          if (judged.isAllowed) return true
          const proposed = admitting(asked, judged)
          if (proposed.length === 0) return isDenied(asked, cluster)
          const { cluster: then, problems } = fromObjects(
            [...objects, ...proposed].map((object) => ({ place: '', object })),
          )
          const again = connectionOf(then, from, to, '80')
          return problems.every(({ kind }) => kind !== 'wrong') && verdict(then, again).isAllowed
        }),
      )
    }),
    100,
  ))

test('law: what explain proposes closes nothing', async (t) =>
  holds(
    t,
    fc.property(pods, policies, (all, some) => {
      const objects = [...spaces, ...all, ...some]
      const cluster = clusterOf(...objects)
      const before = allowedBy(objects)
      return matrixOf(cluster).denied.every(({ from, to, port: number, protocol: word }) => {
        const asked = connectionOf(cluster, from, to, `${number}/${word}`)
        const after = allowedBy([...objects, ...admitting(asked, verdict(cluster, asked))])
        return [...before].every((flow) => after.has(flow))
      })
    }),
    100,
  ))

const isDenied = (asked: Connection, cluster: Cluster): boolean => {
  const { egress, ingress } = verdict(cluster, asked)
  return egress.kind === 'denied' || ingress.kind === 'denied'
}
