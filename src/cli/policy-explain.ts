import { stringify } from 'yaml'
import { parseAddress } from '../base/address.ts'
import type { JsonObject } from '../cluster/json-value.ts'
import { type Pod, podKey } from '../cluster/pod.ts'
import { type Transport, transports } from '../cluster/policy-port.ts'
import { type Endpoint, endpointAt, endpointOf } from '../policy/endpoint.ts'
import { type Explanation, explain } from '../policy/explain.ts'
import { declaredPorts } from '../policy/matrix.ts'
import type { Cluster } from '../policy/model.ts'
import { admitting } from '../policy/suggest.ts'
import { type Connection, verdict } from '../policy/verdict.ts'
import { aboutNoRoot, aboutSources, clusterOf, sourceOptions } from './cluster-source.ts'
import { type Command, type Desk, InputFault, jsonOption, UsageFault } from './command.ts'
import { paint } from './table.ts'

export const policyExplain: Command = {
  name: 'policy explain',
  summary: 'Tell whether a connection is allowed, by which rules, and what would admit it',
  about: [
    ...aboutSources,
    aboutNoRoot,
    '',
    'SRC and DST are "namespace/pod" or an address. PORT is as in 5432, 53/UDP, the name of',
    'a container port, or icmp; without it every declared port of DST is told of.',
    'Exit code 1: something of it is denied.',
  ],
  operands: [
    { name: 'SRC', need: 'needed' },
    { name: 'DST', need: 'needed' },
    { name: 'PORT', need: 'optional' },
  ],
  options: { ...sourceOptions, json: jsonOption },
  run: async (desk) => {
    const cluster = await clusterOf(desk)
    const connections = connectionsOf(cluster, desk.operands)
    const told = connections.map((connection): Told => {
      const judged = verdict(cluster, connection)
      return { ...explain(connection, judged), admits: admitting(connection, judged) }
    })
    if (desk.values.json === true) desk.print(`${JSON.stringify(told, undefined, 2)}\n`)
    else desk.print(told.map((one) => textOf(one, desk)).join('\n'))
    return told.every((one) => one.verdict === 'allowed') ? 0 : 1
  },
}

/** `admits`: NetworkPolicies that would let it through. */
type Told = Explanation & { readonly admits: readonly JsonObject[] }

function connectionsOf(
  cluster: Cluster,
  [source = '', target = '', port]: readonly string[],
): readonly Connection[] {
  const targets = endsOf(cluster, target)
  const ports = targets.flatMap(({ pod }) => portsOf(pod, port)).filter(isFirst)
  if (ports.length === 0)
    throw new UsageFault(`${target} declares no port${port ? ` ${port}` : ''}: give a number`)
  const pairs = endsOf(cluster, source).flatMap(({ end: from }) =>
    targets
      .filter(({ end: to }) => to.address.family === from.address.family)
      .map(({ end: to }) => ({ from, to })),
  )
  if (pairs.length === 0)
    throw new InputFault(`${source} and ${target} have no addresses of one family`)
  return pairs.flatMap((pair) => ports.map((one) => ({ ...pair, ...one })))
}

type End = { readonly end: Endpoint; readonly pod: Pod | undefined }

/** One for each address: of a pod by its name, or of whoever has the address. */
function endsOf(cluster: Cluster, text: string): readonly End[] {
  const address = parseAddress(text)
  if (address) {
    const end = endpointAt(cluster, address)
    return [{ end, pod: end.kind === 'pod' ? end.pod : undefined }]
  }
  const pod = cluster.pods.find((one) => podKey(one) === text)
  if (!pod) throw new InputFault(`There is no pod ${text}${nearest(cluster, text)}`)
  if (pod.isDone) throw new InputFault(`The containers of pod ${text} have ended`)
  if (pod.addresses.length === 0) throw new InputFault(`Pod ${text} has no address (status.podIPs)`)
  return pod.addresses.map((one) => ({ end: endpointOf(pod, one), pod }))
}

function nearest({ pods }: Cluster, text: string): string {
  const named = pods.filter(({ name }) => name === text || text.endsWith(`/${name}`)).map(podKey)
  return named.length === 0 ? '; it takes namespace/pod' : `; there is ${named.join(', ')}`
}

type Port = { readonly protocol: Transport; readonly port: number } | { readonly protocol: 'ICMP' }

const isFirst = (port: Port, index: number, all: readonly Port[]): boolean =>
  all.findIndex((one) => JSON.stringify(one) === JSON.stringify(port)) === index

function portsOf(pod: Pod | undefined, text: string | undefined): readonly Port[] {
  if (text === undefined) return pod ? declaredPorts(pod) : []
  if (text.toUpperCase() === 'ICMP') return [{ protocol: 'ICMP' }]
  const words = text.split('/')
  const protocol = transports.find((one) => words.some((word) => word.toUpperCase() === one))
  const [which = '', other] = words.filter((word) => word.toUpperCase() !== protocol)
  if (other !== undefined || which === '')
    throw new UsageFault(`PORT is ${text}; it may be as in 5432, 53/UDP, http or icmp`)
  if (!/^\d+$/.test(which))
    return (pod?.ports ?? [])
      .filter((one) => one.name === which && (!protocol || one.protocol === protocol))
      .map((one) => ({ protocol: one.protocol, port: one.port }))
  const port = Number(which)
  if (port < 1 || port > 65_535) throw new UsageFault(`PORT is ${text}; there are 1 to 65535`)
  return [{ protocol: protocol ?? 'TCP', port }]
}

function textOf(told: Told, desk: Desk): string {
  const { from, to, protocol, port, family } = told
  const word = paint(told.verdict, told.verdict === 'allowed' ? 'green' : 'red', desk)
  const which = port === undefined ? protocol : `${protocol} ${port}`
  const lines = [
    `${from} -> ${to} ${which} (IPv${family}): ${word}`,
    `  egress:  ${told.egress.why}`,
    `  ingress: ${told.ingress.why}`,
  ]
  return `${lines.join('\n')}\n${remedyOf(told)}`
}

function remedyOf({ verdict: word, admits }: Told): string {
  if (word === 'allowed') return ''
  if (admits.length === 0)
    return '\nNo further rule helps against a deny: that rule has to change.\n'
  return `\nThis would admit it:\n\n${admits.map((policy) => stringify(policy)).join('---\n')}`
}
