import type { Family } from '../base/address.ts'
import { type Pod, podKey } from '../cluster/pod.ts'
import { type Transport, transports } from '../cluster/policy-port.ts'
import { endpointOf } from './endpoint.ts'
import type { Cluster } from './model.ts'
import { prepare } from './prepare.ts'

/** From one pod to a declared port of another: "shop/api" → "shop/db" TCP 5432. */
export type Flow = {
  readonly from: string
  readonly to: string
  readonly protocol: Transport
  readonly port: number
}

export type Matrix = { readonly allowed: readonly Flow[]; readonly denied: readonly Flow[] }

/** Pods that can be spoken of: running, with an address (P42, P43); sorted. */
export const livingPods = ({ pods }: Pick<Cluster, 'pods'>): readonly Pod[] =>
  pods
    .filter(({ isDone, addresses }) => !isDone && addresses.length > 0)
    .sort((left, right) => compareText(podKey(left), podKey(right)))

export type DeclaredPort = { readonly protocol: Transport; readonly port: number }

/** Each once, sorted, whichever containers declare it. */
export const declaredPorts = ({ ports }: Pod): readonly DeclaredPort[] =>
  transports
    .toSorted(compareText)
    .flatMap((protocol) =>
      [...new Set(ports.filter((one) => one.protocol === protocol).map(({ port }) => port))]
        .sort((left, right) => left - right)
        .map((port) => ({ protocol, port })),
    )

/** Flows that begin or end in one of these namespaces; absent: all of them. */
export type MatrixScope = { readonly namespaces?: ReadonlySet<string> }

/** How many flows a matrix has, before it is made: it grows with the square of the pods. */
export function flowsIn(cluster: Pick<Cluster, 'pods'>, { namespaces }: MatrixScope = {}): number {
  const pods = livingPods(cluster)
  const inside = namespaces ? pods.filter((pod) => namespaces.has(pod.namespace)) : pods
  const portsOf = (some: readonly Pod[]): number =>
    some.reduce((sum, pod) => sum + declaredPorts(pod).length, 0)
  const [all, own] = [portsOf(pods), portsOf(inside)]
  // From everybody to those inside, and from those inside to the others; nobody to himself.
  return own * (pods.length - 1) + (all - own) * inside.length
}

/**
 * Every declared port of every pod, from every other pod, in the order of from, to, protocol and
 * port. Of a pod with two families the connection is allowed if it is in one of them.
 */
export function matrixOf(cluster: Cluster, { namespaces }: MatrixScope = {}): Matrix {
  const isMeant = (from: Pod, to: Pod): boolean =>
    !namespaces || namespaces.has(from.namespace) || namespaces.has(to.namespace)
  const ends = livingPods(cluster).map((pod) => ({ pod, name: podKey(pod) }))
  const endpoints = ends.flatMap(({ pod }) =>
    pod.addresses.map((address) => endpointOf(pod, address)),
  )
  const { isAllowed } = prepare(cluster, endpoints)
  const placesOf = new Map<Pod, Place[]>()
  let next = 0
  for (const { pod } of ends)
    placesOf.set(
      pod,
      pod.addresses.map(({ family }) => ({ family, at: next++ })),
    )
  const allowed: Flow[] = []
  const denied: Flow[] = []
  for (const from of ends)
    for (const to of ends) {
      if (from === to || !isMeant(from.pod, to.pod)) continue
      const paths = pathsOf(placesOf.get(from.pod) ?? [], placesOf.get(to.pod) ?? [])
      for (const { protocol, port } of declaredPorts(to.pod)) {
        const isOpen = paths.some(([source, target]) => isAllowed(source, target, protocol, port))
        const list = isOpen ? allowed : denied
        list.push({ from: from.name, to: to.name, protocol, port })
      }
    }
  return { allowed, denied }
}

/** An address of a pod, by its place in the list of endpoints. */
type Place = { readonly family: Family; readonly at: number }

/** Addresses of one family each (P45). */
const pathsOf = (from: readonly Place[], to: readonly Place[]): readonly [number, number][] =>
  from.flatMap(({ family, at }) => {
    const target = to.find((place) => place.family === family)
    return target ? [[at, target.at] as [number, number]] : []
  })

/** Connections that begin and cease to be allowed; those of pods that come or go are among them. */
export type FlowChanges = { readonly opened: readonly Flow[]; readonly closed: readonly Flow[] }

export function changesBetween(before: Cluster, after: Cluster): FlowChanges {
  const [old, now] = [matrixOf(before).allowed, matrixOf(after).allowed]
  const missing = (from: readonly Flow[], others: readonly Flow[]): readonly Flow[] => {
    const known = new Set(others.map(keyOf))
    return from.filter((flow) => !known.has(keyOf(flow)))
  }
  return { opened: missing(now, old), closed: missing(old, now) }
}

const keyOf = ({ from, to, protocol, port }: Flow): string => `${from} ${to} ${protocol} ${port}`

/** By code unit, so that no locale decides. */
export const compareText = (left: string, right: string): number =>
  left < right ? -1 : left > right ? 1 : 0
