import { at, listOf, shown, textOf } from '../cluster/json-value.ts'

/** The API server answered, and the answer is no: HTTP status, and what its Status object tells. */
export class KubeRefusal extends Error {
  override name = 'KubeRefusal'
  readonly status: number
  /** "Forbidden", "Expired", "NotFound", …: metav1.StatusReason; "" from a proxy. */
  readonly reason: string
  /** metav1.StatusDetails.causes[].reason */
  readonly causes: readonly string[]
  readonly retryAfterSeconds: number | undefined

  constructor(what: string, { status, body, retryAfterSeconds }: RefusedAnswer) {
    const reason = textOf(at(body, 'reason')) ?? ''
    const words = textOf(at(body, 'message')) ?? (body === undefined ? 'no Status' : shown(body))
    super(`Cannot ${what}: ${status}${reason && ` ${reason}`} (${words.slice(0, 500)})`)
    this.status = status
    this.reason = reason
    this.causes = listOf(at(body, 'details', 'causes')).flatMap(
      (cause) => textOf(at(cause, 'reason')) ?? [],
    )
    this.retryAfterSeconds = retryAfterSeconds
  }
}

export type RefusedAnswer = {
  readonly status: number
  /** The Status object, or the answer's text if it was none. */
  readonly body: unknown
  readonly retryAfterSeconds?: number | undefined
}

/** No answer, or one that breaks off or makes no sense: worth another try. */
export class KubeUnreachable extends Error {
  override name = 'KubeUnreachable'
  /** A kept connection turned out to be dead before an answer began. */
  readonly onOldConnection: boolean

  constructor(
    what: string,
    found: string,
    { cause, onOldConnection = false }: { cause?: unknown; onOldConnection?: boolean } = {},
  ) {
    super(`Cannot ${what}: ${found}`, { cause })
    this.onOldConnection = onOldConnection
  }
}

export const isRefusal = (fault: unknown, ...statuses: readonly number[]): fault is KubeRefusal =>
  fault instanceof KubeRefusal && statuses.includes(fault.status)
