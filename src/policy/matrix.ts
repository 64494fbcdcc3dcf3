import { type Pod, podKey } from '../cluster/pod.ts'
import { type Transport, transports } from '../cluster/policy-port.ts'
import { pathsBetween } from './endpoint.ts'
import type { Cluster } from './model.ts'
import { verdict } from './verdict.ts'

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

/**
 * Every declared port of every pod, from every other pod, in the order of from, to, protocol and
 * port. Of a pod with two families the connection is allowed if it is in one of them.
 */
export function matrixOf(cluster: Cluster): Matrix {
  const pods = livingPods(cluster)
  const flows = pods.flatMap((from) =>
    pods.flatMap((to) => (from === to ? [] : flowsBetween(cluster, from, to))),
  )
  const judged = flows.map(({ isAllowed, flow }) =>
    isAllowed ? { allowed: flow } : { denied: flow },
  )
  return {
    allowed: judged.flatMap(({ allowed }) => allowed ?? []),
    denied: judged.flatMap(({ denied }) => denied ?? []),
  }
}

function flowsBetween(cluster: Cluster, from: Pod, to: Pod) {
  const paths = pathsBetween(from, to)
  return declaredPorts(to).map(({ protocol, port }) => ({
    flow: { from: podKey(from), to: podKey(to), protocol, port } satisfies Flow,
    isAllowed: paths.some(
      ([source, target]) =>
        verdict(cluster, { from: source, to: target, protocol, port }).isAllowed,
    ),
  }))
}

/** By code unit, so that no locale decides. */
export const compareText = (left: string, right: string): number =>
  left < right ? -1 : left > right ? 1 : 0
