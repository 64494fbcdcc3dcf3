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
export function dropIfb(host: RouteSocket, name: string): boolean {
  const link = host.link({ name })
  if (link?.kind !== 'ifb') return false
  // Without an alias: killed between making and marking it, and the name tells.
  if (link.alias !== undefined && networkOfIfb(link.alias) === undefined) return false
  return host.deleteLink(name)
}

/** Those of an attachment's limits, whether a record tells of them or not. */
export function dropIfbs(host: RouteSocket, id: AttachmentId): void {
  const { ingress, egress } = ifbsOf(id)
  for (const { name } of [ingress, egress]) dropIfb(host, name)
}

/** Of this network's limits, but not of these attachments. */
export function collectIfbs(
  host: RouteSocket,
  network: string,
  valid: readonly AttachmentId[],
): void {
  const kept = new Set(valid.map(ifbsOf).flatMap((one) => [one.ingress.name, one.egress.name]))
  for (const { alias, name } of host.links())
    if (networkOfIfb(alias) === network && !kept.has(name)) host.deleteLink(name)
}
