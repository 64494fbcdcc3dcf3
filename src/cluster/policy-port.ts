/** What a policy's ports may name. ICMP and the rest are reached by rules without ports alone. */
export const transports = ['TCP', 'UDP', 'SCTP'] as const
export type Transport = (typeof transports)[number]
/** IANA's protocol numbers. */
export const transportNumbers: Readonly<Record<Transport, number>> = { TCP: 6, UDP: 17, SCTP: 132 }

/** Destination ports of one protocol (P18). */
export type PolicyPort = { readonly protocol: Transport } & (
  | { readonly kind: 'all' }
  /** Both included; equal for a single port. */
  | { readonly kind: 'range'; readonly first: number; readonly last: number }
  /** Resolved on each destination pod by itself (P19). */
  | { readonly kind: 'name'; readonly name: string }
)

export const portMax = 65_535

export const isPort = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= portMax

const nameCharactersMax = 15

/** A service name of IANA (RFC 6335 section 5.1), lower case, as Kubernetes wants it. */
export const isPortName = (text: string): boolean =>
  text.length <= nameCharactersMax && /^(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*$/.test(text)
