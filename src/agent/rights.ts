import {
  deniedNeeds,
  explainDenied,
  type Need,
  neededAtStart,
  neededBesides,
  neededForPolicy,
  neededForPolicyBesides,
  remedyOf,
} from '../kube/access.ts'
import type { KubeClient } from '../kube/client.ts'
import type { Clock } from './clock.ts'
import type { Findings, Found } from './findings.ts'

/** Whoever adds a rule need not start the agent again. */
const deniedMilliseconds = 10_000
/** An API server that comes back has all nodes' agents to answer at once. */
const silentMilliseconds = 30_000

export type RightsOptions = {
  readonly client: KubeClient
  readonly work: 'routes' | 'routes and policies'
  readonly clock: Clock
  readonly random: () => number
  readonly findings: Findings
  /** Of every question; of one that nobody answered too. */
  readonly onAnswer: () => void
}

/**
 * Whether RBAC lets the agent work. What is denied is a finding with the rules to add, and is asked
 * for again until it is granted: an agent that ended would leave its words in a log that nobody
 * reads, and would be back minutes after the rule is. Without an answer nothing is known.
 */
export class Rights {
  readonly #options: RightsOptions
  #isEnough = true
  #isAsking = false
  #isClosed = false
  #cancel: (() => void) | undefined

  constructor(options: RightsOptions) {
    this.#options = options
  }

  /** False: something is denied that the agent can't do without. */
  get isEnough(): boolean {
    return this.#isEnough
  }

  /** Asks now, unless the next question has its time already. */
  ask(): void {
    if (this.#isAsking || this.#cancel || this.#isClosed) return
    this.#isAsking = true
    void this.#answered().then((delay) => {
      this.#isAsking = false
      if (!this.#isClosed) this.#options.onAnswer()
      if (delay !== undefined && !this.#isClosed) this.#askAfter(delay)
    })
  }

  close(): void {
    this.#isClosed = true
    this.#cancel?.()
  }

  #askAfter(milliseconds: number): void {
    this.#cancel = this.#options.clock.after(milliseconds, () => {
      this.#cancel = undefined
      this.ask()
    })
  }

  /** After how long to ask again; never, if everything is granted. */
  async #answered(): Promise<number | undefined> {
    const { client, work, findings, random } = this.#options
    const { needed, besides } = wishesOf(work)
    try {
      const denied = await deniedNeeds(client, [...needed, ...besides])
      const lacking = denied.filter((one) => needed.includes(one))
      const missed = denied.filter((one) => besides.includes(one))
      this.#isEnough = lacking.length === 0
      findings.tell('rights', [...rightsMissing(lacking, 'error'), ...rightsMissing(missed)])
      return denied.length > 0 ? deniedMilliseconds : undefined
    } catch {
      // The source tells that it is silent.
      return silentMilliseconds * (0.5 + random())
    }
  }
}

function wishesOf(work: RightsOptions['work']): Readonly<Record<'needed' | 'besides', Need[]>> {
  const hasPolicies = work === 'routes and policies'
  return {
    needed: [...neededAtStart, ...(hasPolicies ? neededForPolicy : [])],
    besides: [...neededBesides, ...(hasPolicies ? neededForPolicyBesides : [])],
  }
}

const rightsMissing = (
  denied: readonly Need[],
  severity: 'error' | 'warning' = 'warning',
): readonly Found[] =>
  denied.length === 0
    ? []
    : [
        {
          check: 'rights-missing',
          subject: `RBAC denies ${denied.length} ${denied.length === 1 ? 'right' : 'rights'}`,
          severity,
          meaning: explainDenied(denied),
          remedy: remedyOf(denied),
        },
      ]
