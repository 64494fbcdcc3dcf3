import type { Extras } from '../../datapath/extras.ts'
import { ifbsOf } from '../../datapath/identity.ts'
import {
  bucketHandle,
  bucketOf,
  filtersOf,
  isOurPreference,
  type Redirection,
  redirectionsOf,
  rootShapeOf,
  type Shape,
  type Shaping,
} from '../../datapath/shaping.ts'
import type { RouteSocket } from '../../kernel/route-socket.ts'
import { type ObservedFilter, selectorText } from '../../wire/rtnl/filter.ts'
import { IFF_UP } from '../../wire/rtnl/link.ts'
import type { Link } from '../../wire/rtnl/observed-link.ts'
import { type ObservedQdisc, type TokenBucket, ticksOf } from '../../wire/rtnl/qdisc.ts'
import type { Call } from '../context.ts'
import type { Target } from './part.ts'

type Seen = {
  readonly host: RouteSocket
  readonly qdiscs: readonly ObservedQdisc[]
  readonly wished: Shaping
  /** The pod's end on the host. */
  readonly end: Link
}

/** What is no longer as `shaping` made it. */
export function shapingDifferences(
  _call: Call,
  extras: Extras,
  { host }: Target,
): readonly string[] {
  const { shaping: wished, hostLink } = extras
  if (!wished || hostLink === null) return []
  const end = host.link({ name: hostLink })
  if (!end) return [`host end ${hostLink} is not there`]
  const redirections = redirectionsOf(wished)
  const ifbs = redirections.map(({ direction }) =>
    host.link({ name: ifbsOf(extras)[direction].name }),
  )
  const shaped = [end, ...ifbs].flatMap((link) => link?.index ?? [])
  const seen: Seen = { host, qdiscs: host.qdiscs(shaped), wished, end }
  const root = rootShapeOf(wished)
  return [
    ...(root ? bucketDifferences(seen, end, root) : []),
    ...redirections.flatMap((one, at) => redirectionDifferences(seen, one, extras, ifbs[at])),
  ]
}

function bucketDifferences(
  { qdiscs, wished, end }: Seen,
  { index, name }: Pick<Link, 'index' | 'name'>,
  shape: Shape,
): readonly string[] {
  const found = qdiscs.find((one) => one.link === index && one.handle === bucketHandle)?.bucket
  if (!found) return [`${name} does not limit what it sends`]
  const fits = [end.mtuBytes, ...mtuBounds].map((mtu) => bucketOf(shape, wished, mtu))
  const [wanted, least, most] = fits
  const ticks = ({ burstBytes, rateBytes }: TokenBucket): number => ticksOf(burstBytes, rateBytes)
  if (!wanted || !least || !most) return []
  const isIn = (value: number, from: number, to: number): boolean => value >= from && value <= to
  return [
    ...(found.rateBytes === wanted.rateBytes
      ? []
      : [`${name} sends ${found.rateBytes} bytes a second, not ${wanted.rateBytes}`]),
    ...(isIn(found.ticks, ticks(least) - 1, ticks(most) + 1)
      ? []
      : [`${name} has not the burst of ${wanted.burstBytes} bytes`]),
    ...(isIn(found.limitBytes, least.limitBytes, most.limitBytes)
      ? []
      : [`${name} holds ${found.limitBytes} bytes back, not ${wanted.limitBytes}`]),
  ]
}

/** A plugin behind us may have set another MTU since: slow buckets have been made for the first. */
const mtuBounds = [68, 9216] as const

function redirectionDifferences(
  seen: Seen,
  redirection: Redirection,
  extras: Extras,
  ifb: Link | undefined,
): readonly string[] {
  const { host, wished, end } = seen
  const { name } = ifbsOf(extras)[redirection.direction]
  if (ifb?.kind !== 'ifb') return [`ifb ${name} is not there`]
  const { hook } = redirection
  const there = host
    .filters(end.index, hook)
    .filter((one) => isOurPreference(hook, one.preference) && one.selector !== undefined)
  const wanted = filtersOf(wished, redirection, { link: end.index, ifb: ifb.index })
  const isThere = wanted.every(({ match, preference, redirectTo }) =>
    there.some((one) => isSame(one, { preference, selector: selectorText(match), redirectTo })),
  )
  const isWhole = isThere && there.length === wanted.length
  return [
    ...((ifb.flags & IFF_UP) === 0 ? [`ifb ${name} is down`] : []),
    ...bucketDifferences(seen, ifb, redirection.shape),
    ...(isWhole ? [] : [`${end.name} ${hook} does not redirect to ${name} as it should`]),
  ]
}

const isSame = (there: ObservedFilter, wanted: Omit<ObservedFilter, 'kind'>): boolean =>
  there.preference === wanted.preference &&
  there.selector === wanted.selector &&
  there.redirectTo === wanted.redirectTo
