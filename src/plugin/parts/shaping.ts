import { formatPrefix, networkOf } from '../../base/prefix.ts'
import { readBandwidth } from '../../cni/bandwidth.ts'
import { code, fault } from '../../cni/fault.ts'
import type { Extras } from '../../datapath/extras.ts'
import { identityOf, ifbsOf } from '../../datapath/identity.ts'
import {
  bucketOf,
  filterPlaces,
  filtersOf,
  isOurPreference,
  type Redirection,
  redirectionsOf,
  rootShapeOf,
  type Shaping,
} from '../../datapath/shaping.ts'
import {
  bucketStep,
  classifierStep,
  dropBucketStep,
  dropClassifierStep,
  dropFiltersStep,
  filterStep,
  ifbSteps,
} from '../../datapath/shaping-steps.ts'
import type { Step } from '../../datapath/steps.ts'
import { errno, KernelRefusal } from '../../kernel/refusal.ts'
import type { RouteSocket } from '../../kernel/route-socket.ts'
import type { LeaseStore } from '../../store/lease-store.ts'
import type { Link } from '../../wire/rtnl/observed-link.ts'
import { TC_H_CLSACT } from '../../wire/rtnl/traffic-control.ts'
import type { Call } from '../context.ts'
import { makeIfb, ownIfbs } from '../ifbs.ts'
import type { Part, PrevResult, Removing, Target } from './part.ts'
import { shapingDifferences } from './shaping-check.ts'

/** Limits of the rates to and from the pod. */
export const shaping: Part<Shaping> = { wish, apply, remove, amend, check: shapingDifferences }

function wish(call: Call, target: Target, store: LeaseStore): Shaping | null {
  const asked = readBandwidth(call.config)
  if (!asked) return null
  const { hostLink, host, origin } = target
  if (hostLink === null) throw noHostEnd(call)
  refuseSecondLimit(call, store)
  const link = origin === 'there' ? host.link({ name: hostLink }) : undefined
  const keepsClassifier =
    link !== undefined && host.qdiscs([link.index]).some(({ parent }) => parent === TC_H_CLSACT)
  const { kind, prefixes } = asked.subnets
  const texts = prefixes.map((prefix) => formatPrefix(networkOf(prefix)))
  return { ...asked, subnets: { kind, prefixes: [...new Set(texts)] }, keepsClassifier }
}

const noHostEnd = ({ environment, plugin }: Call): Error =>
  fault(
    code.invalidConfig,
    'a bandwidth limit needs a veth',
    `${environment.ifname} has no other end on the host to be limited at; ` +
      `take ${plugin} out of this network's list, or drop its rates`,
  )

/** A pod's interface has one bucket a direction, and its ifbs' names are its own. */
function refuseSecondLimit(call: Call, store: LeaseStore): void {
  const other = store.extras
    .of(call.id)
    .find((extras) => extras.shaping && extras.plugin !== call.plugin)
  if (!other) return
  throw fault(
    code.invalidConfig,
    'the bandwidth is limited twice',
    `${other.plugin} limits ${call.id.ifname} already; let one plugin of the list do it`,
  )
}

function apply(call: Call, extras: Extras, { host }: Target): void {
  const { shaping: wished, hostLink } = extras
  if (!wished || hostLink === null) return
  const end = host.link({ name: hostLink })
  if (!end) throw hostEndGone(hostLink)
  const redirections = redirectionsOf(wished)
  if (redirections.length > 0 && !wished.keepsClassifier) host.run([classifierStep(end)])
  for (const redirection of redirections) {
    const bucket = bucketOf(redirection.shape, wished, end.mtuBytes)
    const ifb = makeIfb(host, ifbsOf(call.id)[redirection.direction], end.mtuBytes)
    host.run(ifbSteps(ifb, extras, bucket))
    const places = { link: end.index, ifb: ifb.index }
    runFilters(
      host,
      filtersOf(wished, redirection, places).map((one) => filterStep(hostLink, one)),
    )
  }
  const root = rootShapeOf(wished)
  if (root) limitRoot(host, end, bucketStep(end, bucketOf(root, wished, end.mtuBytes)))
}

const hostEndGone = (hostLink: string): Error =>
  fault(
    code.kernel,
    `link ${hostLink} is gone`,
    'somebody deletes links on this node while pods start; try again',
  )

/** Filters on a port do not fit into one datagram if there are many: the answers must. */
const filtersAtOnce = 32
function runFilters(host: RouteSocket, steps: readonly Step[]): void {
  for (let at = 0; at < steps.length; at += filtersAtOnce)
    host.run(steps.slice(at, at + filtersAtOnce))
}

function limitRoot(host: RouteSocket, { name }: Link, step: Step): void {
  try {
    host.run([step])
  } catch (refusal) {
    if (!(refusal instanceof KernelRefusal) || refusal.errno !== errno.EEXIST) throw refusal
    throw fault(
      code.hostConflict,
      'the host end has a queueing discipline already',
      `${refusal.message}; see "tc qdisc show dev ${name}", ` +
        'and let only one plugin or agent limit the bandwidth',
    )
  }
}

function remove(_: Call, extras: Extras, { host, doomed }: Removing): void {
  const { shaping: wished, hostLink, plugin } = extras
  if (!wished) return
  // The host end goes with everything on it, if the pod does.
  const isGoing = plugin === 'tulle' && hostLink === identityOf(extras).link
  const end = hostLink === null || isGoing ? undefined : host.link({ name: hostLink })
  const redirections = redirectionsOf(wished)
  if (end) {
    const places = redirections.flatMap(({ hook }) => filterPlaces(end.index, hook))
    host.run(places.map((place) => dropFiltersStep(end.name, place)))
    if (redirections.length > 0 && !wished.keepsClassifier && isClassifierIdle(host, end))
      host.run([dropClassifierStep(end)])
    if (rootShapeOf(wished)) host.run([dropBucketStep(end.name, end.index)])
  }
  const names = redirections.map(({ direction }) => ifbsOf(extras)[direction].name)
  doomed.push(...ownIfbs(host, names))
}

/** Nobody has put filters of their own beside ours. */
const isClassifierIdle = (host: RouteSocket, { index }: Link): boolean =>
  (['ingress', 'egress'] as const).every((hook) =>
    host.filters(index, hook).every(({ preference }) => isOurPreference(hook, preference)),
  )

/** As the reference plugin: the ifbs are interfaces of the result, without a sandbox. */
function amend(extras: Extras, result: PrevResult): PrevResult {
  const { shaping: wished } = extras
  if (!wished) return result
  const made = redirectionsOf(wished).map(({ direction }: Redirection) => ifbsOf(extras)[direction])
  if (made.length === 0) return result
  const interfaces = Array.isArray(result.interfaces) ? (result.interfaces as unknown[]) : []
  return { ...result, interfaces: [...interfaces, ...made] }
}
