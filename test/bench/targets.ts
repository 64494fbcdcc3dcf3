import { mappingsLabel, type PeerId } from './cases.ts'
import type { Verb } from './job.ts'
import { type CaseResult, findRow, type Row, type RowName } from './result.ts'
import { bootstrap, type Interval, median } from './statistics.ts'
import { warmRules } from './warm/rules.ts'

type Figure = 'ratio' | 'difference' | 'value'

/** A promise about two rows of one run: left ÷ right or left − right is at most `limit`. */
export type Rule = {
  readonly id: string
  readonly text: string
  /** In milliseconds, but for a ratio. `value` is of the left row alone. */
  readonly figure: Figure
  readonly limit: number
  /** Else it is of wall time. */
  readonly of?: 'CPU time'
  readonly left: RowName
  readonly right?: RowName
  /** The same against another peer, shown but not judged. */
  readonly beside?: RowName
}

export type Target = {
  readonly id: string
  readonly text: string
  readonly figure: Figure
  readonly limit: number
} & (
  | {
      readonly state: 'met' | 'missed'
      readonly value: number
      readonly interval: Interval
      /** Medians in milliseconds. */
      readonly left: number
      readonly right?: number
      readonly beside?: { readonly peer: PeerId; readonly value: number }
    }
  | { readonly state: 'not measured'; readonly reason: string }
)

/** Reason of a target that `--only` left out. */
export const notRun = 'its case was not run'

const bridgeMasq = { caseId: 'bridge-masq' } as const
const leases = { caseId: 'leases', peer: 'tulle', verb: 'ADD' } as const

const chainRows = (verb: Verb): Pick<Rule, 'left' | 'right' | 'beside'> => ({
  left: { caseId: 'chain-nft', peer: 'tulle', verb },
  right: { caseId: 'chain-nft', peer: 'newest', verb },
  beside: { caseId: 'chain-nft', peer: 'debian', verb },
})

const portsRows = (verb: Verb): Pick<Rule, 'left' | 'right'> => ({
  left: { caseId: 'ports', peer: 'tulle', verb, variant: mappingsLabel(10_000) },
  right: { caseId: 'ports', peer: 'tulle', verb, variant: mappingsLabel(1) },
})

/** Each compares rows of the same case, so that their runs were interleaved. */
export const rules: readonly Rule[] = [
  {
    id: 'start',
    text: 'VERSION ÷ node -e 0',
    figure: 'ratio',
    limit: 0.85,
    left: { caseId: 'start', peer: 'tulle', verb: 'VERSION' },
    right: { caseId: 'start', peer: 'node', verb: 'VERSION' },
  },
  {
    id: 'add',
    text: 'ADD − VERSION, routed, IPv4',
    figure: 'difference',
    limit: 6,
    left: { caseId: 'routed', peer: 'tulle', verb: 'ADD' },
    right: { caseId: 'routed', peer: 'tulle', verb: 'VERSION' },
  },
  {
    id: 'add-masquerade',
    text: 'ADD ÷ newest bridge + host-local, ipMasq',
    figure: 'ratio',
    limit: 0.95,
    left: { ...bridgeMasq, peer: 'tulle', verb: 'ADD' },
    right: { ...bridgeMasq, peer: 'newest', verb: 'ADD' },
    beside: { ...bridgeMasq, peer: 'debian', verb: 'ADD' },
  },
  {
    id: 'del-masquerade',
    text: 'DEL ÷ newest bridge + host-local, ipMasq',
    figure: 'ratio',
    limit: 0.65,
    left: { ...bridgeMasq, peer: 'tulle', verb: 'DEL' },
    right: { ...bridgeMasq, peer: 'newest', verb: 'DEL' },
    beside: { ...bridgeMasq, peer: 'debian', verb: 'DEL' },
  },
  {
    id: 'add-dual',
    text: 'ADD ÷ newest ptp + host-local, dual stack',
    figure: 'ratio',
    limit: 0.05,
    left: { caseId: 'routed-dual', peer: 'tulle', verb: 'ADD' },
    right: { caseId: 'routed-dual', peer: 'newest', verb: 'ADD' },
    beside: { caseId: 'routed-dual', peer: 'debian', verb: 'ADD' },
  },
  {
    id: 'chain-add',
    text: 'ADD of the whole chain ÷ newest five plugins',
    figure: 'ratio',
    limit: 0.3,
    ...chainRows('ADD'),
  },
  {
    id: 'chain-check',
    text: 'CHECK of the same',
    figure: 'ratio',
    limit: 0.5,
    ...chainRows('CHECK'),
  },
  {
    id: 'chain-del',
    text: 'DEL of the same',
    figure: 'ratio',
    limit: 0.25,
    ...chainRows('DEL'),
  },
  {
    id: 'ports-packet',
    text: 'round trip of a packet through 10,000 host ports ÷ through one',
    figure: 'ratio',
    limit: 1.05,
    ...portsRows('RTT'),
  },
  {
    id: 'ports-add',
    text: 'ADD of the next host port, the same',
    figure: 'ratio',
    limit: 1.1,
    ...portsRows('ADD'),
  },
  {
    id: 'add-leases',
    text: 'ADD at 20,000 leases ÷ ADD at one',
    figure: 'ratio',
    limit: 1.1,
    left: { ...leases, variant: 'at 20,000' },
    right: { ...leases, variant: 'at 1 lease' },
  },
  ...warmRules,
]

export const evaluateTargets = (
  wanted: readonly Rule[],
  results: readonly CaseResult[],
): readonly Target[] => wanted.map((rule) => evaluate(rule, results))

function evaluate(rule: Rule, results: readonly CaseResult[]): Target {
  const { id, text, figure, limit } = rule
  const base = { id, text, figure, limit }
  const left = measured(results, rule.left)
  const right = measured(results, rule.right ?? rule.left)
  if (typeof left === 'string') return { ...base, state: 'not measured', reason: left }
  if (typeof right === 'string') return { ...base, state: 'not measured', reason: right }
  const compute = figures[figure]
  const [ours, theirs] = [samplesOf(rule, left), samplesOf(rule, right)]
  const value = compute(median(ours), median(theirs))
  return {
    ...base,
    state: value <= limit ? 'met' : 'missed',
    value,
    interval: bootstrap(compute, ours, theirs),
    left: median(ours),
    ...(rule.right === undefined ? {} : { right: median(theirs) }),
    ...besideOf(rule, results, left),
  }
}

const samplesOf = (rule: Rule, row: Row): readonly number[] =>
  rule.of === 'CPU time' ? row.cpuSamples : row.samples

const figures = {
  ratio: (left: number, right: number): number => left / right,
  difference: (left: number, right: number): number => left - right,
  value: (left: number): number => left,
} as const

/** A row that a target may stand on: all its calls went well. Else the reason why not. */
function measured(results: readonly CaseResult[], name: RowName): Row | string {
  const result = results.find((one) => one.id === name.caseId)
  if (result === undefined) return notRun
  const row = findRow(results, name)
  if (row === undefined || row.calls === 0) return `no ${name.verb} of ${name.peer} was run`
  if (row.failed > 0)
    return `${row.failed} of ${row.calls} ${name.verb} of ${name.peer} failed (${row.fault})`
  if (result.faults.length > 0) return result.faults.join('; ')
  return row
}

function besideOf(
  rule: Rule,
  results: readonly CaseResult[],
  left: Row,
): { readonly beside?: { readonly peer: PeerId; readonly value: number } } {
  if (rule.beside === undefined) return {}
  const other = measured(results, rule.beside)
  if (typeof other === 'string') return {}
  const [ours, theirs] = [samplesOf(rule, left), samplesOf(rule, other)]
  const value = figures[rule.figure](median(ours), median(theirs))
  return { beside: { peer: rule.beside.peer, value } }
}
