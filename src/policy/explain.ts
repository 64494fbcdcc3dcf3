import { formatAddress } from '../base/address.ts'
import { unreachable } from '../base/unreachable.ts'
import type { Direction } from '../cluster/network-policy.ts'
import { podKey } from '../cluster/pod.ts'
import type { Endpoint } from './endpoint.ts'
import type { Policy } from './model.ts'
import type { Connection, Decider, Side, Verdict } from './verdict.ts'

/** A verdict as plain values, for JSON. */
export type Explanation = {
  readonly from: string
  readonly to: string
  readonly family: 4 | 6
  readonly protocol: string
  readonly port?: number
  readonly verdict: 'allowed' | 'denied'
  readonly egress: ExplainedSide
  readonly ingress: ExplainedSide
}

export type ExplainedSide = {
  readonly kind: Side['kind']
  /** One sentence for people. */
  readonly why: string
  /** What decided: rules, or the policies that isolate. */
  readonly by: readonly Named[]
}

export type Named = {
  readonly kind: Policy['kind']
  readonly namespace: string
  readonly name: string
  /** The rule's place in the policy: "spec.ingress[0]". */
  readonly rule?: string
}

export function explain(connection: Connection, verdict: Verdict): Explanation {
  const { from, to, protocol } = connection
  return {
    from: nameOf(from),
    to: nameOf(to),
    family: to.address.family,
    protocol,
    ...(connection.protocol === 'ICMP' ? {} : { port: connection.port }),
    verdict: verdict.isAllowed ? 'allowed' : 'denied',
    egress: explainSide(verdict.egress, 'egress', from),
    ingress: explainSide(verdict.ingress, 'ingress', to),
  }
}

/** "shop/api", "node n1 (10.0.0.1)", "192.0.2.7" */
export function nameOf(endpoint: Endpoint): string {
  switch (endpoint.kind) {
    case 'pod':
      return podKey(endpoint.pod)
    case 'node':
      return `node ${endpoint.node ?? '?'} (${formatAddress(endpoint.address)})`
    case 'world':
      return formatAddress(endpoint.address)
    default:
      return unreachable(endpoint)
  }
}

function explainSide(side: Side, direction: Direction, subject: Endpoint): ExplainedSide {
  const { kind } = side
  switch (side.kind) {
    case 'open':
      return { kind, why: openings[side.why](direction, nameOf(subject)), by: [] }
    case 'allowed':
      return { kind, why: `allowed by ${rulesOf(side.by)}`, by: side.by.map(named) }
    case 'denied':
      return { kind, why: `denied by ${rulesOf(side.by)}`, by: side.by.map(named) }
    case 'isolated': {
      const policies = side.by.map(titleOf).join(', ')
      const why = `${nameOf(subject)} is isolated by ${policies}, and no rule allows this`
      return { kind, why, by: side.by.map((policy) => identityOf(policy)) }
    }
    default:
      return unreachable(side)
  }
}

const openings = {
  'not-a-pod': (_: Direction, subject: string) => `${subject} is no pod: no policy selects it`,
  'not-isolated': (direction: Direction, subject: string) =>
    `no policy isolates ${subject} for ${direction}`,
  'own-node': () => "a pod's own node always reaches it",
  itself: () => 'a pod always reaches itself',
}

const rulesOf = (deciders: readonly Decider[]): string =>
  deciders.map(({ policy, rule }) => `${titleOf(policy)} ${rule.path}`).join(', ')

const titleOf = ({ kind, namespace, name }: Policy): string => `${kind} ${namespace}/${name}`

const identityOf = ({ kind, namespace, name }: Policy): Named => ({ kind, namespace, name })

const named = ({ policy, rule }: Decider): Named => ({ ...identityOf(policy), rule: rule.path })
