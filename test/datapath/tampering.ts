import { formatPrefix } from '../../src/base/prefix.ts'
import type { Observed } from '../../src/datapath/difference.ts'
import type { Link } from '../../src/wire/rtnl/observed-link.ts'
import { type neighbour, type route, type Side, untouched } from './observations.ts'

// Ways to change what the kernel shows.

export type Mode = 'routed' | 'bridge'
export type SideName = 'host' | 'pod'

export function onSide(
  mode: Mode,
  name: SideName,
  change: (side: Side) => Partial<Side>,
): Observed {
  const observed = untouched[mode]
  const side = observed[name]
  return side ? { ...observed, [name]: { ...side, ...change(side) } } : observed
}
export const linkOn = (mode: Mode, name: SideName, change: Partial<Link>): Observed =>
  onSide(mode, name, (side) => ({ link: { ...side.link, ...change } }))

export const without =
  (kind: 'addresses' | 'routes' | 'neighbours', text: string) =>
  (side: Side): Partial<Side> => {
    const textOf = {
      addresses: () => side.addresses.map(formatPrefix),
      routes: () => side.routes.map(({ destination }) => formatPrefix(destination)),
      neighbours: () => side.neighbours.map(({ address }) => formatPrefix({ address, bits: 0 })),
    }[kind]()
    const at = textOf.indexOf(kind === 'neighbours' ? `${text}/0` : text)
    if (at < 0) throw new Error(`no ${text} among ${textOf.join(' ')}`)
    return { [kind]: side[kind].toSpliced(at, 1) }
  }
export const changedRoute =
  (text: string, by: ReturnType<typeof route>) =>
  (side: Side): Partial<Side> => ({
    routes: [...(without('routes', text)(side).routes ?? []), by],
  })
export const changedNeighbour =
  (text: string, by: ReturnType<typeof neighbour>) =>
  (side: Side): Partial<Side> => ({
    neighbours: [...(without('neighbours', text)(side).neighbours ?? []), by],
  })
export const bridgeWith = (change: Partial<Link>): Observed => {
  const { bridge } = untouched.bridge
  return { ...untouched.bridge, bridge: bridge && { ...bridge, ...change } }
}

export const other = '0a:58:00:00:00:77'
