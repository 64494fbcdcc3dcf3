import type { Attachment } from '../datapath/attachment.ts'
import { addressOf } from '../datapath/wiring.ts'
import type { RouteSocket } from '../kernel/route-socket.ts'
import type { IfIndex } from '../wire/rtnl/link.ts'
import { tableLocal } from '../wire/rtnl/route.ts'
import { nanosecondsNow, type Pausing } from './pausing.ts'

/** A pod that has not settled by then is handed over as it is: it will, on a busy node. */
const limitNanoseconds = 1_000_000_000n
/** The first pause; each is longer than the one before. */
const pollMilliseconds = 0.1
const pollMillisecondsMax = 5

export type Settling = {
  readonly attachment: Attachment
  readonly host: RouteSocket
  readonly pod: RouteSocket
  readonly hostEnd: IfIndex
}

/**
 * Waits for what the kernel does a moment after it has answered, so that not even the first packet
 * is lost: the host end's queue starts, and its bridge port opens, when the link watcher has seen
 * the carrier; an IPv6 address gets its local route from a work queue, without duplicate address
 * detection too. Tenths of a millisecond, as a rule. False if it takes too long.
 */
export function* settle(settling: Settling): Pausing<boolean> {
  const end = nanosecondsNow() + limitNanoseconds
  for (let pause = pollMilliseconds; ; pause = Math.min(pause * 1.2, pollMillisecondsMax)) {
    if (isSettled(settling)) return true
    if (nanosecondsNow() > end) return false
    yield pause
  }
}

function isSettled({ attachment, host, pod, hostEnd }: Settling): boolean {
  const link = host.link({ index: hostEnd })
  if (!link?.isOperational) return false
  if (attachment.bridge && !link.port?.isForwarding) return false
  return attachment.ips
    .map(({ address }) => addressOf(address))
    .filter(({ family }) => family === 6)
    .every((address) => pod.routeTo(address)?.table === tableLocal)
}
