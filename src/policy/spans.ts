import { type Transport, transportNumbers } from '../cluster/policy-port.ts'
import { everything, type Span, type Spans } from './program.ts'

// Ports of protocols, as rectangles of a plane: protocol numbers up, port numbers across. Every
// function takes rectangles in any order, overlapping or not, and gives the canonical form: rows of
// protocols that have the same ports, as high as can be, and in a row ranges that do not touch.

export const nothing: Spans = []
export const everySpan: Spans = [everything]

export const spanOf = (transport: Transport, firstPort: number, lastPort = firstPort): Span => {
  const protocol = transportNumbers[transport]
  return { firstProtocol: protocol, lastProtocol: protocol, firstPort, lastPort }
}

export const isEverything = ([span]: Spans): boolean =>
  span !== undefined &&
  span.firstProtocol === everything.firstProtocol &&
  span.lastProtocol === everything.lastProtocol &&
  span.firstPort === everything.firstPort &&
  span.lastPort === everything.lastPort

export const canonical = (spans: Spans): Spans => combined(spans, nothing, either)

export function union(left: Spans, right: Spans): Spans {
  if (left === right || right.length === 0) return left
  if (left.length === 0) return right
  return isEverything(left) || isEverything(right) ? everySpan : combined(left, right, either)
}

export function intersection(left: Spans, right: Spans): Spans {
  if (left === right || isEverything(right)) return left
  return isEverything(left) ? right : combined(left, right, both)
}

/** What `left` has and `right` has not. */
export const difference = (left: Spans, right: Spans): Spans =>
  right.length === 0 ? left : combined(left, right, first)

/** Whether `outer` has all that `inner` has. */
export const covers = (outer: Spans, inner: Spans): boolean =>
  isEverything(outer) || difference(inner, outer).length === 0

export function includes(spans: Spans, protocol: number, port: number): boolean {
  for (const span of spans)
    if (
      span.firstProtocol <= protocol &&
      protocol <= span.lastProtocol &&
      span.firstPort <= port &&
      port <= span.lastPort
    )
      return true
  return false
}

/** Equal where canonical spans are: "6-6:80-80 17-17:53-53". */
export const spansKey = (spans: Spans): string =>
  spans
    .map(
      ({ firstProtocol, lastProtocol, firstPort, lastPort }) =>
        `${firstProtocol}-${lastProtocol}:${firstPort}-${lastPort}`,
    )
    .join(' ')

/** Of many pairs of few spans, each pair once: the same objects give the same object. */
export function remembered<Made>(make: (left: Spans, right: Spans) => Made) {
  const known = new Map<Spans, Map<Spans, Made>>()
  return (left: Spans, right: Spans): Made => {
    const row = known.get(left) ?? new Map<Spans, Made>()
    const found = row.get(right)
    if (found !== undefined) return found
    const made = make(left, right)
    known.set(left, row.set(right, made))
    return made
  }
}

type Wanted = (isInLeft: boolean, isInRight: boolean) => boolean
const either: Wanted = (isInLeft, isInRight) => isInLeft || isInRight
const both: Wanted = (isInLeft, isInRight) => isInLeft && isInRight
const first: Wanted = (isInLeft, isInRight) => isInLeft && !isInRight

type Range = { readonly first: number; last: number }
type Row = { readonly first: number; last: number; readonly ports: readonly Range[] }

/** The plane cut into rows wherever a rectangle of either begins or ends. */
function combined(left: Spans, right: Spans, wanted: Wanted): Spans {
  const all = [...left, ...right]
  const cuts = [
    ...new Set(all.flatMap((span) => [span.firstProtocol, span.lastProtocol + 1])),
  ].sort((one, other) => one - other)
  const rows: Row[] = []
  for (const [at, begin] of cuts.entries()) {
    const next = cuts[at + 1]
    if (next === undefined) break
    const isHere = (span: Span): boolean =>
      span.firstProtocol <= begin && begin <= span.lastProtocol
    const ports = combinedPorts(left.filter(isHere), right.filter(isHere), wanted)
    const below = rows.at(-1)
    if (below && below.last === begin - 1 && sameRanges(below.ports, ports)) below.last = next - 1
    else if (ports.length > 0) rows.push({ first: begin, last: next - 1, ports })
  }
  return rows.flatMap((row) =>
    row.ports.map((ports) => ({
      firstProtocol: row.first,
      lastProtocol: row.last,
      firstPort: ports.first,
      lastPort: ports.last,
    })),
  )
}

/** One row, swept from its lowest port to its highest. */
function combinedPorts(left: Spans, right: Spans, wanted: Wanted): readonly Range[] {
  const edges = [...left.flatMap(edgesOf('left')), ...right.flatMap(edgesOf('right'))].sort(
    (one, other) => one.at - other.at,
  )
  const depth = { left: 0, right: 0 }
  const ranges: Range[] = []
  for (const [index, { at, side, by }] of edges.entries()) {
    depth[side] += by
    const next = edges[index + 1]?.at
    if (next === undefined || next === at || !wanted(depth.left > 0, depth.right > 0)) continue
    const before = ranges.at(-1)
    if (before?.last === at - 1) before.last = next - 1
    else ranges.push({ first: at, last: next - 1 })
  }
  return ranges
}

const edgesOf = (side: 'left' | 'right') => (span: Span) => [
  { at: span.firstPort, side, by: 1 },
  { at: span.lastPort + 1, side, by: -1 },
]

const sameRanges = (left: readonly Range[], right: readonly Range[]): boolean =>
  left.length === right.length &&
  left.every(({ first: begin, last }, at) => {
    const other = right[at]
    return other !== undefined && other.first === begin && other.last === last
  })
