import { concat, Writer } from '../../base/bytes.ts'
import { attribute, u32 } from '../netlink/attribute.ts'
import {
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  type Query,
} from '../netlink/message.ts'
import type { IfIndex } from './link.ts'
import { protocolTulle, RTM_NEWROUTE, RTN_LOCAL, tableLocal } from './route.ts'

// "local ::1 dev LINK table local proto 116 metric 4096": linux/rtnetlink.h.
const RTM_DELROUTE = 25
const RTA_DST = 1
const RTA_OIF = 4
const RTA_PRIORITY = 6
const AF_INET6 = 10
/** Behind the kernel's own route to `lo`, which has 0. */
const metric = 4096

const localRoute = (link: IfIndex, message: { type: number; flags: number }): Query => ({
  type: message.type,
  flags: NLM_F_REQUEST | NLM_F_ACK | message.flags,
  body: concat([
    new Writer()
      .u8(AF_INET6)
      .u8(128)
      .u16(0)
      .u8(tableLocal)
      .u8(protocolTulle)
      .u8(0)
      .u8(RTN_LOCAL)
      .u32(0)
      .done(),
    attribute(RTA_DST, Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)),
    u32(RTA_OIF, link),
    u32(RTA_PRIORITY, metric),
  ]),
})

/** What is addressed to ::1 and comes in by this link is for this host; EEXIST if it is already. */
export const newLocalRoute = (link: IfIndex): Query =>
  localRoute(link, { type: RTM_NEWROUTE, flags: NLM_F_CREATE | NLM_F_EXCL })

/** ESRCH if there is no such route. */
export const deleteLocalRoute = (link: IfIndex): Query =>
  localRoute(link, { type: RTM_DELROUTE, flags: 0 })
