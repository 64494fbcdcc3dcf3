/**
 * Error codes: 1–99 of the CNI specification 1.1 ("Error"), 8 of libcni, from 100 on Tulle's own.
 */
export const code = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  io: 5,
  decode: 6,
  invalidConfig: 7,
  invalidNetns: 8,
  tryAgainLater: 11,
  unavailable: 50,
  unavailableAndDegraded: 51,
  kernel: 100,
  alreadyAttached: 101,
  poolFull: 102,
  addressUnavailable: 103,
  checkFailed: 104,
  delegate: 105,
  hostConflict: 106,
  bug: 199,
} as const

/**
 * An outcome that the caller of the plugin must hear of: what was tried, then the state found and
 * the remedy.
 */
export type Fault = { readonly code: number; readonly message: string; readonly details: string }

/** A fault on its way up to the one place that prints it. */
export class CniFault extends Error {
  override name = 'CniFault'
  readonly fault: Fault

  constructor(fault: Fault, options?: ErrorOptions) {
    super(`${fault.message}: ${fault.details}`, options)
    this.fault = fault
  }
}

export const fault = (number: number, message: string, details: string): CniFault =>
  new CniFault({ code: number, message, details })

/** The error object of the specification ("Error"), in the version that was asked for. */
export const formatFault = (
  cniVersion: string,
  { code: number, message, details }: Fault,
): string => JSON.stringify({ cniVersion, code: number, msg: message, details })
