import { sha256 } from '@noble/hashes/sha2.js'
import { encodeText, toHex } from '../base/bytes.ts'
import { hexDigestOf } from '../base/digest.ts'
import { formatMac, localMac } from '../base/mac.ts'
import type { AttachmentId } from './attachment.ts'

export const linkPrefix = 'tul'
const linkHexDigits = 11

/**
 * Names that follow from the attachment's own: DEL finds the link of a pod that no record tells of,
 * and a pod that is made again under its old id gets its old MAC. Link: "tul" and 11 hex digits of
 * sha256(network NUL container NUL ifname).
 */
export function identityOf(id: AttachmentId): {
  readonly link: string
  readonly hostMac: string
  readonly podMac: string
} {
  const hash = hashOf(id)
  return {
    link: linkPrefix + toHex(hash).slice(0, linkHexDigits),
    hostMac: formatMac(localMac(hash.subarray(8))),
    podMac: formatMac(localMac(hash.subarray(16))),
  }
}

/** A call is about one attachment as a rule, and every part of it asks for the names. */
let known = { text: '', hash: new Uint8Array() }
function hashOf({ network, container, ifname }: AttachmentId): Uint8Array {
  const text = `${network}\0${container}\0${ifname}`
  if (known.text !== text) known = { text, hash: sha256(encodeText(text)) }
  return known.hash
}

/** The links of a pod's limits: "tui" (to the pod) and "tue" (from the pod), and its hex digits. */
export function ifbsOf(id: AttachmentId): Readonly<Record<'ingress' | 'egress', Ifb>> {
  const hash = hashOf(id)
  const digits = toHex(hash).slice(0, linkHexDigits)
  return {
    ingress: { name: `tui${digits}`, mac: formatMac(localMac(hash.subarray(20))) },
    egress: { name: `tue${digits}`, mac: formatMac(localMac(hash.subarray(24))) },
  }
}
export type Ifb = { readonly name: string; readonly mac: string }

/**
 * A bridge's MAC follows from its name: it outlives its ports, and a bridge made again keeps it.
 */
export const bridgeMacOf = (name: string): string =>
  formatMac(localMac(sha256(encodeText(`bridge\0${name}`))))

/** Eight hex digits that name a chain by its content. */
export const digestOf = (text: string): string => hexDigestOf(text, 8)
