import { IFF_UP } from '../wire/rtnl/link.ts'
import { protocolTulle } from '../wire/rtnl/route.ts'

// linux/rtnetlink.h
const RTM_NEWLINK = 16
const RTM_DELADDR = 21
const RTM_NEWROUTE = 24
const RTM_DELROUTE = 25
const RTM_DELNEIGH = 29

/**
 * Whether a message may tell of harm to the host's side of a pod, or of a new pod: decided by a few
 * bytes, for a node hears many. `links` are the indexes of pods' host ends.
 */
export function isOfPods(type: number, body: Uint8Array, links: ReadonlySet<number>): boolean {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  switch (type) {
    // struct ifinfomsg: the index at 4, the flags at 8
    case RTM_NEWLINK:
      return links.has(view.getInt32(4, true)) && (view.getUint32(8, true) & IFF_UP) === 0
    // struct ifaddrmsg and struct ndmsg: the index at 4
    case RTM_DELADDR:
    case RTM_DELNEIGH:
      return links.has(view.getInt32(4, true))
    // struct rtmsg: the family at 0, the prefix length at 1, the protocol at 5. A new one is the
    // end of an ADD: whoever was seen whole is known to be hurt later.
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return view.getUint8(5) === protocolTulle && view.getUint8(1) === (body[0] === 2 ? 32 : 128)
    default:
      return false
  }
}
