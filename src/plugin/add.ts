import { parseAddress } from '../base/address.ts'
import { parsePrefix } from '../base/prefix.ts'
import { describe as show } from '../cni/config.ts'
import { CniFault, code, fault } from '../cni/fault.ts'
import { formatResult, present, type Result } from '../cni/result.ts'
import { refuseUnsupported } from '../cni/unsupported.ts'
import type { Attachment, AttachmentId } from '../datapath/attachment.ts'
import type { Extras } from '../datapath/extras.ts'
import { holdingOf } from '../datapath/holding.ts'
import {
  announceStep,
  forgetNeighbourSteps,
  hostSteps,
  markStep,
  podSteps,
  vethStep,
} from '../datapath/steps.ts'
import { forwardingSysctls, hostSysctls, podSysctls } from '../datapath/sysctls.ts'
import { FilterSocket } from '../kernel/filter-socket.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import { Sysctls } from '../kernel/sysctl.ts'
import { podMtuBytes } from '../overlay/device.ts'
import { allHoldings } from '../store/holdings.ts'
import type { LeaseStore } from '../store/lease-store.ts'
import type { Link } from '../wire/rtnl/observed-link.ts'
import { builtInAddresses, builtInDns } from './built-in.ts'
import { addChained } from './chained.ts'
import { type Call, delegateOf, openPod, withExistingStore, withStore } from './context.ts'
import { delegate } from './delegate.ts'
import { describeAttachment, type Given, refuseUnfit, resultOf, type Source } from './describe.ts'
import { detach, forgetAttachment } from './detach.ts'
import { amendResult, applyExtras, wishedExtras } from './extras.ts'
import {
  applySysctls,
  dropOwnLink,
  ensureBridge,
  ipv6State,
  switchForwardingOn,
  uplinkMtuBytes,
} from './host.ts'
import { sharesDirectory } from './host-local.ts'
import { startLife } from './lease.ts'
import { ensureOverlay, recordOverlay, withOverlay } from './overlay.ts'
import { targetOf } from './parts/part.ts'
import type { Pausing } from './pausing.ts'
import { awaitVerdicts, refusePolicyBehind } from './policy.ts'
import { settle } from './settle.ts'
import { type Undo, undoAll } from './undo.ts'

/** Everything that an ADD talks to; the descriptors go with the process. */
type Sockets = { readonly netnsFd: number; readonly host: RouteSocket; readonly pod: RouteSocket }

/** Gives a pod its interface; the result as JSON. What fails at any step leaves nothing. */
export function* add(asked: Call): Pausing<string> {
  if (asked.config.prevResult !== undefined) return behindAnother(asked)
  const call = withOverlay(asked)
  const { config, environment, native } = call
  refuseUnsupported(config)
  refuseUnfit(config)
  if (call.isRepeated) yield* undoAttempt(call)
  const sockets = { ...openPod(call), host: new RouteSocket(native, -1, 'the host') }
  if (sockets.pod.link({ name: environment.ifname })) throw interfaceExists(environment.ifname)
  const undo: Undo = []
  try {
    const leased = lease(call, sockets, undo)
    const { attachment, dns, extras } = leased
    const bridge = yield* wire(call, { ...leased, sockets, undo })
    const result = resultOf(attachment, { config, environment, dns, bridgeLink: bridge })
    return formatResult(config.cniVersion, extras ? amended(extras, result) : result)
  } catch (refusal) {
    throw undoAll(undo, refusal)
  }
}

/** What a worker left of this very call before it died; never what another call has done. */
function* undoAttempt(call: Call): Pausing<void> {
  const known = withExistingStore(call, (store) => store.attachment(call.id))
  if (known?.attempt === call.attempt) yield* detach(call)
}

/** What the parts change in a result of others, they change in ours. */
const amended = (extras: Extras, result: Result): Result => amendResult(extras, result) as Result

/** Behind another plugin Tulle wires nothing: it makes no second interface of one name. */
function behindAnother(call: Call): string {
  const { config } = call
  refusePolicyBehind(call)
  if (config.ipam === undefined && config.mode === undefined) return addChained(call)
  throw fault(
    code.invalidConfig,
    "a pod's interface can be made only once",
    'there is a prevResult, and the configuration asks for ' +
      `${config.mode === undefined ? 'ipam' : 'mode'}; ` +
      'put this plugin first in the list, or drop its keys "ipam" and "mode"',
  )
}

const interfaceExists = (ifname: string): Error =>
  fault(
    code.alreadyAttached,
    `interface ${ifname} exists already`,
    `the pod's namespace has a link ${ifname}; call DEL first, or choose another CNI_IFNAME`,
  )

type Leased = {
  readonly attachment: Attachment
  readonly extras: Extras | undefined
  readonly dns: Result['dns']
  /** No other attachment was on record. */
  readonly isAlone: boolean
}

/**
 * The record is durable before anything is in the kernel: whoever is killed later leaves a name to
 * clean up by.
 */
function lease(call: Call, sockets: Sockets, undo: Undo): Leased {
  const { config, environment, id } = call
  const { host } = sockets
  const source = { id, config, environment, uplinkMtuBytes: mtuBytesOf(call, host) }
  const routes = config.ipam?.routes ?? []
  // A commit may be on the disk although it was reported as failed.
  let isWritten = false
  undo.push(() => {
    if (isWritten) forgetAttachment(call)
  })
  const leased = withStore(call, (store) => {
    startLife(store, host)
    const ips = builtInAddresses(call, store, host)
    // A host-local file that we wrote outlives a transaction that is rolled back.
    isWritten = sharesDirectory(call)
    const attachment = describeAttachment({ ...source, ips, routes })
    const extras = record(call, store, { attachment, sockets })
    isWritten = true
    return { attachment, extras, isAlone: isAlone(store, id) }
  })
  if (delegateOf(config) === undefined) return { ...leased, dns: builtInDns(call) }
  undo.push(() => void delegate(call, 'DEL'))
  const result = delegate(call, 'ADD') ?? { interfaces: [], ips: [], routes: [], dns: {} }
  const attachment = describeDelegated({ ...source, ips: givenBy(result), routes: result.routes })
  const extras = withStore(call, (store) => record(call, store, { attachment, sockets }))
  return { ...leased, attachment, extras, dns: result.dns }
}

/** Whether a table that has to be made is this attachment's alone. */
const isAlone = (store: LeaseStore, id: AttachmentId): boolean =>
  !store.hasOthers(id) && store.cluster.all().length === 0

/** What fits through every way that the pod's packets may take. */
function mtuBytesOf({ config, overlay }: Call, host: RouteSocket): number {
  if (config.mtu) return config.mtu
  return overlay ? podMtuBytes(overlay.self, overlay.options) : uplinkMtuBytes(host)
}

/** What the attachment is to have besides is described and recorded with it. */
function record(
  call: Call,
  store: LeaseStore,
  { attachment, sockets }: { readonly attachment: Attachment; readonly sockets: Sockets },
): Extras | undefined {
  const extras = wishedExtras(call, targetOf(attachment, sockets), store)
  store.putAttachment({ ...attachment, ...present({ attempt: call.attempt }) })
  recordOverlay(call, store)
  if (extras) store.extras.put(extras)
  return extras
}

/** Routes that make no sense are the IPAM plugin's fault here, not the configuration's. */
function describeDelegated(source: Source): Attachment {
  try {
    return describeAttachment(source)
  } catch (refusal) {
    if (!(refusal instanceof CniFault) || refusal.fault.code !== code.invalidConfig) throw refusal
    throw fault(code.delegate, 'IPAM plugin returned an odd result', refusal.fault.details)
  }
}

function givenBy({ ips }: Result): readonly Given[] {
  if (ips.length === 0)
    throw fault(
      code.delegate,
      'IPAM plugin returned no address',
      'its result has no "ips"; check the "ipam" key of the configuration',
    )
  return ips.map(({ address, gateway }) => {
    const prefix = parsePrefix(address)
    const hop = gateway === undefined ? undefined : parseAddress(gateway)
    const isOdd = gateway !== undefined && hop?.family !== prefix?.address.family
    if (prefix && !isOdd) return { prefix, gateway: hop }
    throw fault(
      code.delegate,
      'IPAM plugin returned an odd address',
      `${show(address)} via ${show(gateway)} is no address with its prefix length and gateway, ` +
        'such as 10.244.1.5/24 via 10.244.1.1',
    )
  })
}

type Wiring = Omit<Leased, 'dns'> & {
  readonly sockets: Sockets
  readonly undo: Undo
}

/**
 * Guard and masquerade first, the pod's end last: no packet passes before everything is in its
 * place.
 */
function* wire(
  call: Call,
  { attachment, extras, isAlone, sockets, undo }: Wiring,
): Pausing<Link | undefined> {
  const { native, note } = call
  const { host, pod, netnsFd } = sockets
  const onHost = { sysctls: new Sysctls(native, -1), note }
  const filter = new FilterSocket(native)
  const { overlay } = call
  if (overlay) withStore(call, (store) => ensureOverlay(call, overlay, store))
  const holding = holdingOf(attachment, extras)
  // Who comes later finds this one on record, and in the tables that are made here.
  filter.attach(holding, (fill) =>
    isAlone ? fill([holding]) : withStore(call, (store) => fill(allHoldings(store))),
  )
  switchForwardingOn(forwardingSysctls(attachment), onHost)
  const bridge = attachment.bridge
    ? ensureBridge(host, attachment.bridge, attachment.mtuBytes)
    : undefined
  if (bridge && attachment.isPoliced) host.run(forgetNeighbourSteps(attachment, bridge.index))
  // Before it is made: the kernel may make it, and its answer be lost.
  undo.push(() => dropOwnLink(host, attachment))
  if (!host.create(vethStep(attachment, netnsFd))) throw nameTaken(attachment)
  host.run([markStep(attachment)])
  const hostEnd = found(host.link({ name: attachment.link }), attachment.link)
  const podEnd = found(pod.link({ name: attachment.ifname }), attachment.ifname)
  applySysctls(hostSysctls(attachment, ipv6State()), onHost)
  host.run(hostSteps(attachment, hostEnd.index, bridge?.index))
  applySysctls(podSysctls(attachment, ipv6State()), { sysctls: new Sysctls(native, netnsFd), note })
  pod.run(podSteps(attachment, podEnd.index))
  if (extras) applyExtras(call, extras, targetOf(attachment, sockets))
  if (!(yield* settle({ attachment, host, pod, hostEnd: hostEnd.index })))
    note(`${attachment.link} does not pass packets yet; going on without waiting longer`)
  if (bridge) pod.run([announceStep(attachment, podEnd.index)])
  if (attachment.isPoliced) yield* awaitVerdicts(call, attachment, filter)
  return bridge
}

/** The kernel does not say which end it objects to. */
const nameTaken = ({ link, ifname }: Attachment): Error =>
  fault(
    code.alreadyAttached,
    'a link of that name exists already',
    `the host has a link ${link}, or the pod's namespace a link ${ifname}, that Tulle did not ` +
      'make for this attachment; remove it',
  )

function found(link: Link | undefined, name: string): Link {
  if (link) return link
  throw fault(
    code.kernel,
    `link ${name} is gone right after it was made`,
    "the pod's namespace was removed, or somebody deletes links on this node; try again",
  )
}
