import type { Finding } from '../serve/agent-status.ts'
import type { Clock } from './clock.ts'

export type Found = Omit<Finding, 'since'>

/** Findings of one concern at a time; more of them would be one finding, told so often. */
const findingsMax = 50

/** What is wrong now. Each concern tells all that it finds, and so takes back what is mended. */
export class Findings {
  readonly #clock: Clock
  readonly #byConcern = new Map<string, readonly Finding[]>()
  readonly #onChange: (news: {
    readonly come: readonly Finding[]
    gone: readonly Finding[]
  }) => void

  constructor(
    clock: Clock,
    onChange: (news: { readonly come: readonly Finding[]; gone: readonly Finding[] }) => void,
  ) {
    this.#clock = clock
    this.#onChange = onChange
  }

  get all(): readonly Finding[] {
    return [...this.#byConcern.values()].flat()
  }

  /** In the place of what this concern told before; what it found before keeps its time. */
  tell(concern: string, found: readonly Found[]): void {
    const before = new Map((this.#byConcern.get(concern) ?? []).map((one) => [keyOf(one), one]))
    const since = new Date(this.#clock.date()).toISOString()
    const now = found
      .slice(0, findingsMax)
      .map((one): Finding => ({ ...one, since: before.get(keyOf(one))?.since ?? since }))
    this.#byConcern.set(concern, now)
    const keys = new Set(now.map(keyOf))
    const come = now.filter((one) => !before.has(keyOf(one)))
    const gone = [...before.values()].filter((one) => !keys.has(keyOf(one)))
    if (come.length + gone.length > 0) this.#onChange({ come, gone })
  }
}

const keyOf = ({ check, subject, meaning }: Found): string => `${check}\0${subject}\0${meaning}`
