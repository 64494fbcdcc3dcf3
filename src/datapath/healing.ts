import { IFF_UP, setLink } from '../wire/rtnl/link.ts'
import type { Attachment } from './attachment.ts'
import { lackingIn, type ObservedSide } from './difference.ts'
import { type Step, sideSteps } from './steps.ts'
import { wiringOf } from './wiring.ts'

/** Somebody was quicker: the pod's own ADD, or who put it back by hand. */
const EEXIST = 17

/**
 * What brings a host end back to what ADD left: up, with its addresses, neighbours and routes.
 * Nothing if all is there. What another put in the place of a route of ours stays.
 */
export function healingSteps(
  attachment: Attachment,
  there: NonNullable<ObservedSide>,
): readonly Step[] {
  const { link } = there
  const lacking = lackingIn(there, wiringOf(attachment).host)
  const up = { what: `set ${link.name} up`, query: setLink({ index: link.index, up: true }) }
  return [
    ...((link.flags & IFF_UP) === 0 ? [up] : []),
    ...sideSteps(lacking, { link: link.index, name: link.name, noPrefixRoute: true }),
  ].map((step) => ({ ...step, settled: [EEXIST] }))
}
