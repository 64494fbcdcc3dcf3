/** Rates in bits per second, bursts in bits, as the runtime asked for them; to and from the pod. */
export type Shaping = { readonly ingress: Shape | null; readonly egress: Shape | null }

export type Shape = { readonly rateBits: number; readonly burstBits: number }
