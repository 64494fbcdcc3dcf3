import { parseAddress } from '../../src/base/address.ts'
import { podKey } from '../../src/cluster/pod.ts'
import { transports } from '../../src/cluster/policy-port.ts'
import { endpointAt, endpointOf } from '../../src/policy/endpoint.ts'
import { fromObjects, type Gathered } from '../../src/policy/from-objects.ts'
import type { Cluster } from '../../src/policy/model.ts'
import { prepare } from '../../src/policy/prepare.ts'
import { type Connection, type Verdict, verdict } from '../../src/policy/verdict.ts'

// Kubernetes objects as terse as tests want them, and verdicts on them as words.

type Fields = Readonly<Record<string, unknown>>

const named = (key: string, labels: Fields = {}) => {
  const [namespace, name] = key.split('/')
  return { namespace, name, labels }
}

export const namespace = (name: string, labels: Fields = {}) => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels },
})

export type PodParts = {
  labels?: Fields
  /** Addresses, the first one in `podIP` too. */
  ip?: string | readonly string[]
  /** "80", "53/UDP", "http=8080", "dns=53/UDP" */
  ports?: readonly string[]
  spec?: Fields
  status?: Fields
}

export function pod(key: string, { labels = {}, ip = [], ports, spec, status }: PodParts = {}) {
  const ips = typeof ip === 'string' ? [ip] : ip
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: named(key, labels),
    spec: { containers: [{ name: 'main', ports: (ports ?? ['80']).map(containerPort) }], ...spec },
    status: { phase: 'Running', podIP: ips[0], podIPs: ips.map((one) => ({ ip: one })), ...status },
  }
}

export function containerPort(text: string) {
  const [, name, number, protocol] = /^(?:([a-z0-9-]+)=)?(\d+)(?:\/(\w+))?$/.exec(text) ?? []
  return {
    containerPort: Number(number),
    ...(name === undefined ? {} : { name }),
    ...(protocol === undefined ? {} : { protocol }),
  }
}

export const np = (key: string, spec: unknown) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: named(key),
  spec,
})

export const cnp = (key: string, spec: unknown, more: Fields = {}) => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: named(key),
  ...(spec === undefined ? {} : { spec }),
  ...more,
})

export const gather = (objects: readonly unknown[]): Gathered =>
  fromObjects(objects.map((object, index) => ({ place: `object ${index}`, object })))

/** Of objects of which none has anything wrong. */
export function clusterOf(...objects: readonly unknown[]): Cluster {
  const { cluster, problems } = gather(objects)
  const wrong = problems.filter(({ kind }) => kind === 'wrong')
  if (wrong.length > 0) throw new Error(`Cannot use these objects: ${JSON.stringify(wrong)}`)
  return cluster
}

/** "x/a" or an address, to the same, on "80", "53/UDP", "ICMP"; of pods the first family. */
export function connectionOf(cluster: Cluster, from: string, to: string, port: string): Connection {
  const ends = { from: endOf(cluster, from), to: endOf(cluster, to) }
  if (port === 'ICMP') return { ...ends, protocol: 'ICMP' }
  const [number, word = 'TCP'] = port.split('/')
  const protocol = transports.find((one) => one === word)
  if (!protocol) throw new Error(`Cannot read the port ${port}`)
  return { ...ends, protocol, port: Number(number) }
}

function endOf(cluster: Cluster, text: string) {
  const address = parseAddress(text)
  if (address) return endpointAt(cluster, address)
  const found = cluster.pods.find((one) => podKey(one) === text)
  const first = found?.addresses[0]
  if (!found || !first) throw new Error(`Cannot find the pod ${text}`)
  return endpointOf(found, first)
}

export const judge = (cluster: Cluster, from: string, to: string, port: string): Verdict =>
  verdict(cluster, connectionOf(cluster, from, to, port))

/** By the reference; the prepared form has to say the same. */
export function passes(cluster: Cluster, from: string, to: string, port: string): boolean {
  const asked = connectionOf(cluster, from, to, port)
  const { isAllowed } = verdict(cluster, asked)
  if (asked.protocol === 'ICMP') return isAllowed
  const prepared = prepare(cluster, [asked.from, asked.to])
  if (prepared.isAllowed(0, 1, asked.protocol, asked.port) !== isAllowed)
    throw new Error(`Cannot agree on ${from}>${to} ${port}: the reference says ${isAllowed}`)
  return isAllowed
}

/** What passes of "x/a>y/b 80" and the like. */
export const passing = (cluster: Cluster, asked: readonly string[]): readonly string[] =>
  asked.filter((text) => {
    const [, from = '', to = '', port = ''] = /^(.+)>(.+) (.+)$/.exec(text) ?? []
    return passes(cluster, from, to, port)
  })
