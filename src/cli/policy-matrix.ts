import { type Pod, podKey } from '../cluster/pod.ts'
import {
  declaredPorts,
  type Flow,
  livingPods,
  type Matrix,
  type MatrixScope,
  matrixOf,
} from '../policy/matrix.ts'
import { aboutNoRoot, aboutSources, clusterOf, sourceOptions } from './cluster-source.ts'
import { type Command, type Desk, jsonOption, UsageFault } from './command.ts'
import { namespaceOption, scopeOf } from './matrix-scope.ts'
import { formatTable } from './table.ts'

export const policyMatrix: Command = {
  name: 'policy matrix',
  summary: 'Show which pod reaches which port of which other pod',
  about: [
    ...aboutSources,
    aboutNoRoot,
    '',
    'Every declared container port of every pod, from every other pod. Of pods with two',
    'families a port counts as allowed if it is reached by one of them.',
  ],
  options: {
    ...sourceOptions,
    json: jsonOption,
    namespace: namespaceOption,
    csv: { type: 'boolean', text: 'print CSV, one line a connection' },
    dot: { type: 'boolean', text: 'print what is allowed as a graph for Graphviz' },
    mermaid: { type: 'boolean', text: 'print what is allowed as a Mermaid flowchart' },
  },
  run: async (desk) => {
    const format = formatOf(desk)
    const cluster = await clusterOf(desk)
    const scope = scopeOf([cluster], desk)
    const pods = livingPods(cluster)
    if (format === undefined && !pods.some((pod) => declaredPorts(pod).length > 0))
      desk.remark('note: no pod declares a port, so there is nothing to judge\n')
    const matrix = matrixOf(cluster, scope)
    desk.print(formats[format ?? 'table'](matrix, namesIn(pods, matrix, scope), desk))
    return 0
  },
}

/** Pods to draw: all, or those of the namespace and whoever they have to do with. */
function namesIn(
  pods: readonly Pod[],
  { allowed }: Matrix,
  { namespaces }: MatrixScope,
): readonly string[] {
  if (!namespaces) return pods.map(podKey)
  const met = new Set(allowed.flatMap(({ from, to }) => [from, to]))
  return pods
    .filter((pod) => namespaces.has(pod.namespace) || met.has(podKey(pod)))
    .map((pod) => podKey(pod))
}

type Format = (matrix: Matrix, pods: readonly string[], desk: Desk) => string

const formats = {
  json: (matrix) => `${JSON.stringify(matrix)}\n`,
  csv: formatCsv,
  dot: formatDot,
  mermaid: formatMermaid,
  table: formatPairs,
} satisfies Record<string, Format>

function formatOf({ values }: Desk): Exclude<keyof typeof formats, 'table'> | undefined {
  const asked = (['json', 'csv', 'dot', 'mermaid'] as const).filter((key) => values[key] === true)
  if (asked.length > 1)
    throw new UsageFault(`one of ${asked.map((key) => `--${key}`).join(' and ')} at a time`)
  return asked[0]
}

const portOf = ({ protocol, port }: Flow): string => `${protocol}/${port}`

/** Names of pods have no comma and no quote. */
function formatCsv({ allowed, denied }: Matrix): string {
  const linesOf = (flows: readonly Flow[], word: string): readonly string[] =>
    flows.map(({ from, to, protocol, port }) => [from, to, protocol, port, word].join(','))
  const lines = [...linesOf(allowed, 'allowed'), ...linesOf(denied, 'denied')]
  return ['from,to,protocol,port,verdict', ...lines].map((line) => `${line}\n`).join('')
}

type Pair = { readonly from: string; readonly to: string; readonly ports: readonly string[] }

const pairsOf = (flows: readonly Flow[]): readonly Pair[] =>
  [...Map.groupBy(flows, ({ from, to }) => `${from} ${to}`).values()].flatMap((group) => {
    const [first] = group
    return first ? [{ from: first.from, to: first.to, ports: group.map(portOf) }] : []
  })

function formatDot({ allowed }: Matrix, pods: readonly string[]): string {
  const edges = pairsOf(allowed).map(
    ({ from, to, ports }) => `  "${from}" -> "${to}" [label="${ports.join(', ')}"]\n`,
  )
  const nodes = pods.map((pod) => `  "${pod}"\n`)
  return `digraph policy {\n${nodes.join('')}${edges.join('')}}\n`
}

function formatMermaid({ allowed }: Matrix, pods: readonly string[]): string {
  const idOf = new Map(pods.map((pod, index) => [pod, `p${index}`]))
  const nodes = pods.map((pod) => `  ${idOf.get(pod)}["${pod}"]\n`)
  const edges = pairsOf(allowed).map(
    ({ from, to, ports }) => `  ${idOf.get(from)} -->|"${ports.join(', ')}"| ${idOf.get(to)}\n`,
  )
  return `flowchart LR\n${nodes.join('')}${edges.join('')}`
}

/** One line a pair: the ports that are reached, and those that are not. */
function formatPairs({ allowed, denied }: Matrix, _pods: readonly string[], desk: Desk): string {
  const closed = new Map(pairsOf(denied).map((pair) => [`${pair.from} ${pair.to}`, pair]))
  const open = new Map(pairsOf(allowed).map((pair) => [`${pair.from} ${pair.to}`, pair]))
  const keys = [...new Set([...open.keys(), ...closed.keys()])].sort()
  if (keys.length === 0) return 'no pod declares a port that another one could reach\n'
  const rows = keys.map((key) => {
    const [from = '', to = ''] = key.split(' ')
    const listed = (pair: Pair | undefined): string => pair?.ports.join(' ') ?? '-'
    return [from, to, listed(open.get(key)), listed(closed.get(key))]
  })
  const total = `\n${allowed.length} allowed, ${denied.length} denied\n`
  return formatTable(['FROM', 'TO', 'ALLOWED', 'DENIED'], rows, desk) + total
}
