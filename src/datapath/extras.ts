import type { Element } from '../wire/nft/set.ts'
import { type AttachmentId, nameOf } from './attachment.ts'
import { type HostPorts, hostPortElements } from './host-ports.ts'
import { type Isolation, isolationElements } from './isolation.ts'
import type { Shaping } from './shaping.ts'
import type { Tuning } from './tuning.ts'

/**
 * What a pod's interface gets besides being there, as Tulle keeps it: asked of the plugin that made
 * the interface, or of one chained behind it, whoever made it. Plain text values, as in
 * `Attachment`.
 */
export type Extras = AttachmentId & {
  /** The name that the plugin was called by: each one of a chain keeps and removes its own. */
  readonly plugin: string
  /** The interface's addresses, without prefix length. */
  readonly ips: readonly string[]
  /** Host end of the pod's veth; null for an interface that has none. */
  readonly hostLink: string | null
  /** The bridge that the host end is a port of; null if the host routes to the pod itself. */
  readonly bridge: string | null
  readonly hostPorts: HostPorts | null
  readonly shaping: Shaping | null
  readonly tuning: Tuning | null
  readonly isolation: Isolation | null
  /** Forwarded packets of this pod are accepted where the host's own firewall drops the rest. */
  readonly isAccepted: boolean
}

/** The link through which the host, and other pods, reach this pod. */
export const gateOf = ({ bridge, hostLink }: Pick<Extras, 'bridge' | 'hostLink'>): string | null =>
  bridge ?? hostLink

const sharedPrefix = 'behind '

/** An element that belongs to all pods behind a gate; no attachment's name has a blank. */
export const sharedComment = (gate: string): string => sharedPrefix + gate

/** The gate that the pods behind it share this element for. */
export const gateOfShared = (comment: string): string | undefined =>
  comment.startsWith(sharedPrefix) ? comment.slice(sharedPrefix.length) : undefined

/** What it has in the sets and maps of `inet tulle`, each with the attachment's name. */
export const elementsOfExtras = (extras: Extras): readonly Element[] =>
  [...hostPortElements(extras), ...isolationElements(extras)].map((element) => ({
    ...element,
    comment: element.isShared ? sharedComment(gateOf(extras) ?? '') : nameOf(extras),
  }))
