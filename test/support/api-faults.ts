/** What a test makes go wrong at an API server. */
export class ApiFaults {
  /** No request is answered any more; what was being answered stays silent for good. */
  hanging = false
  /** Each answer comes so much later. */
  slowMs = 0
  /** Answers are written in pieces of so many bytes; 0: as they are. */
  pieceBytes = 0
  /** How a version that is too old is told: real servers do both. */
  goneAs: 'http' | 'stream' = 'stream'
  /** Answers to the next requests, in place of the right ones. */
  readonly refusals: { status: number; reason: string; retryAfterSeconds?: number }[] = []
  /** "patch nodes/status": rights that nobody has. */
  readonly denied = new Set<string>()
  /** "cilium.io/ciliumnetworkpolicies": resources that nobody has defined. */
  readonly undefinedResources = new Set<string>()
  /** Bearer tokens that are good; empty: everybody may come in. */
  readonly tokens = new Set<string>()
  /** Who shows no certificate of the server's authority may not come in. */
  certificates = false
}
