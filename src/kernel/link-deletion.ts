import type { Query } from '../wire/netlink/message.ts'
import { deleteGroup, deleteLink, type LinkBy, setGroup } from '../wire/rtnl/link.ts'

/**
 * The group of links that are about to go, "tul" and 0: what is in it is nobody's any more, so
 * that calls at the same time may share it.
 */
const doomedGroup = 0x74756c00

/** Requests that delete all of these with one grace period; ENODEV means that one is gone. */
export function deletionOf(links: readonly LinkBy[]): readonly Query[] {
  const [only] = links
  if (only === undefined) return []
  if (links.length === 1) return [deleteLink(only)]
  return [...links.map((link) => setGroup(link, doomedGroup)), deleteGroup(doomedGroup)]
}
