import { code, fault } from '../cni/fault.ts'
import type { AttachmentId } from '../datapath/attachment.ts'
import { type Ifb, ifbsOf } from '../datapath/identity.ts'
import { networkOfIfb } from '../datapath/mark.ts'
import { ifbStep } from '../datapath/shaping-steps.ts'
import type { RouteSocket } from '../kernel/route-socket.ts'
import type { Link } from '../wire/rtnl/observed-link.ts'

/** One that a killed process left is made anew; never another one's link. */
export function makeIfb(host: RouteSocket, ifb: Ifb, mtuBytes: number): Link {
  const { name } = ifb
  const step = ifbStep(ifb, mtuBytes)
  const isMade = host.create(step) || (dropIfb(host, name) && host.create(step))
  const link = host.link({ name })
  if (isMade && link) return link
  throw fault(
    code.hostConflict,
    'a link of that name exists already',
    `the host has a link ${name} that Tulle did not make; remove it`,
  )
}

/** True if it was there and ours. */
const dropIfb = (host: RouteSocket, name: string): boolean =>
  ownIfbs(host, [name]).some((own) => host.deleteLink(own))

/** Those that are there and ours. */
export const ownIfbs = (host: RouteSocket, names: readonly string[]): readonly string[] =>
  names.filter((name) => {
    const link = host.link({ name })
    // Without an alias: killed between making and marking it, and the name tells.
    return (
      link?.kind === 'ifb' && (link.alias === undefined || networkOfIfb(link.alias) !== undefined)
    )
  })

/** Those of an attachment's limits, whether a record tells of them or not. */
export function ifbsThere(host: RouteSocket, id: AttachmentId): readonly string[] {
  const { ingress, egress } = ifbsOf(id)
  return ownIfbs(host, [ingress.name, egress.name])
}

/** Of this network's limits, but not of these attachments. */
export function idleIfbs(
  links: readonly Link[],
  network: string,
  valid: readonly AttachmentId[],
): readonly string[] {
  const kept = new Set(valid.map(ifbsOf).flatMap((one) => [one.ingress.name, one.egress.name]))
  return links
    .filter(({ alias, name }) => networkOfIfb(alias) === network && !kept.has(name))
    .map(({ name }) => name)
}
