import { elementsOf } from '../kernel/policy-size.ts'
import type { PolicySocket } from '../kernel/policy-socket.ts'
import type { PolicyStatus } from '../serve/agent-status.ts'
import type { PolicyBook, Revisions } from './policy-book.ts'
import type { PolicyLoop } from './policy-loop.ts'

export type PolicyStatusSource = {
  readonly book: PolicyBook
  readonly loop: PolicyLoop
  readonly socket: PolicySocket
  readonly revisions: Revisions
  readonly last: Pick<PolicyStatus, 'lastSeconds' | 'lastAt'>
  /** Milliseconds of the clock. */
  readonly now: number
  readonly nodePortsRefused?: number
}

/** Those that are named; of more the number says enough. */
const waitingMax = 20

/** From what the policy loop knows to what people and scrapers are told. */
export function policyStatus(given: PolicyStatusSource): PolicyStatus {
  const { book, loop, socket, revisions, last, now, nodePortsRefused } = given
  const { program, pending, local } = loop
  const { generation } = socket
  return {
    ...(pending === undefined ? {} : { pending }),
    revisions,
    ...(generation === undefined ? {} : { generation }),
    ...last,
    ...(book.changedAt === undefined ? {} : { lagSeconds: (now - book.changedAt) / 1000 }),
    policies: book.policies.size,
    oddPolicies: book.odd.size,
    pods: book.pods.size,
    localAddresses: program?.subjects.size ?? 0,
    waiting: local.waiting.slice(0, waitingMax),
    identities: program ? new Set(program.identities.values()).size : 0,
    profiles: program?.profiles.size ?? 0,
    elements: program ? elementsOf(program) : 0,
    refused: program ? socket.refusals(program) : [],
    ...(nodePortsRefused === undefined ? {} : { nodePortsRefused }),
  }
}
