import type { RouteSocket } from '../kernel/route-socket.ts'
import type { Call } from './context.ts'
import type { Pausing } from './pausing.ts'

const pollMilliseconds = 0.2

/**
 * Deletes links. A process of one call waits until the kernel has forgotten them (15 to 35 ms), as
 * it could not end before; the worker until nobody finds them any more, which is all that the next
 * user of their names and addresses needs.
 */
export function* removeLinks(
  { remover }: Pick<Call, 'remover'>,
  host: RouteSocket,
  names: readonly string[],
): Pausing<void> {
  if (!remover) {
    host.deleteLinks(names)
    return
  }
  let left = names.flatMap((name) => host.link({ name })?.index ?? [])
  if (left.length === 0) return
  remover.remove(left)
  for (;;) {
    left = left.filter((index) => host.link({ index }) !== undefined)
    if (left.length === 0) return
    remover.advance()
    remover.refuse(left)
    yield pollMilliseconds
  }
}
