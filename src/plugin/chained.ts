import { code, fault } from '../cni/fault.ts'
import { passThrough, readResult } from '../cni/result.ts'
import { nameOf } from '../datapath/attachment.ts'
import { holdingOfExtras } from '../datapath/holding.ts'
import { FilterSocket } from '../kernel/filter-socket.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import { allHoldings } from '../store/holdings.ts'
import type { Link } from '../wire/rtnl/observed-link.ts'
import { type Call, dataDirOf, openPod, withExistingStore, withStore } from './context.ts'
import { amendResult, applyExtras, checkExtras, removeExtras, wishedExtras } from './extras.ts'
import { idleIfbs, ifbsThere } from './ifbs.ts'
import { startLife } from './lease.ts'
import type { PrevResult, Target } from './parts/part.ts'
import { type Pausing, runToEnd } from './pausing.ts'
import { checkFault, refuseOlder } from './refusals.ts'
import { removeLinks } from './remove-links.ts'
import { refuseDataDir, refuseKernel } from './status.ts'
import { type Undo, undoAll } from './undo.ts'
import { validAttachments } from './valid.ts'

// A plugin behind the one that made the interface: it adds what it is asked for, and answers with
// the result that it was given.

export function addChained(call: Call): string {
  const { config, native } = call
  const result = passThrough(config.cniVersion, config.prevResult)
  const host = new RouteSocket(native, -1, 'the host')
  const target = chainedTarget(call, host)
  const filter = new FilterSocket(native)
  const undo: Undo = [() => runToEnd(delChained(call))]
  try {
    const extras = withStore(call, (store) => {
      startLife(store, host)
      // A runtime that tries again without DEL gets what it asks for now.
      const doomed: string[] = []
      removeExtras(call, { store, host, filter, doomed })
      host.deleteLinks(doomed)
      const wished = wishedExtras(call, target, store)
      if (wished) store.extras.put(wished)
      return wished
    })
    if (!extras) return result
    filter.attach(holdingOfExtras(extras), (fill) =>
      withStore(call, (store) => fill(allHoldings(store))),
    )
    applyExtras(call, extras, target)
    return JSON.stringify(amendResult(extras, JSON.parse(result) as PrevResult))
  } catch (refusal) {
    throw undoAll(undo, refusal)
  }
}

/** Needs neither namespace nor prevResult: what was given is on record. */
export function* delChained(call: Call): Pausing<undefined> {
  const host = new RouteSocket(call.native, -1, 'the host')
  const doomed: string[] = []
  withExistingStore(call, (store) => {
    const filter = new FilterSocket(call.native)
    removeExtras(call, { store, host, filter, doomed })
    if (store.isEmpty()) filter.dropEmptyTables()
  })
  // Of a store that was lost, the names are left.
  yield* removeLinks(call, host, call.plugin === 'bandwidth' ? ifbsThere(host, call.id) : doomed)
  return undefined
}

/** Says what is no longer as ADD left it; silence means that all is well. */
export function checkChained(call: Call): void {
  refuseOlder(call, '0.4.0')
  const target = chainedTarget(call, new RouteSocket(call.native, -1, 'the host'))
  const { recorded, wished } = withStore(call, (store) => {
    const recorded = store.extras.of(call.id).find(({ plugin }) => plugin === call.plugin)
    return { recorded, wished: recorded ?? wishedExtras(call, target, store) }
  })
  if (wished === undefined) return
  const filter = new FilterSocket(call.native)
  const found = recorded
    ? checkExtras(call, recorded, { target, filter })
    : ['what the configuration asks for was never given to this interface: no ADD is on record']
  if (found.length > 0) throw checkFault(found)
}

/** Collects what this plugin gave to interfaces that the runtime does not list. */
export function gcChained(call: Call): void {
  const listed = validAttachments(call)
  const valid = new Set(listed.map(nameOf))
  const host = new RouteSocket(call.native, -1, 'the host')
  const doomed: string[] = []
  withExistingStore(call, (store) => {
    const filter = new FilterSocket(call.native)
    for (const extras of store.extras.all(call.id.network))
      if (extras.plugin === call.plugin && !valid.has(nameOf(extras)))
        removeExtras(call, { store, host, filter, doomed }, { id: extras, plugin: call.plugin })
    if (store.isEmpty()) filter.dropEmptyTables()
  })
  const isLimiting = call.plugin === 'bandwidth'
  const idle = isLimiting ? idleIfbs(host.links(), call.id.network, listed) : []
  host.deleteLinks([...new Set([...doomed, ...idle])])
}

export function statusChained(call: Call): void {
  refuseOlder(call, '1.1.0')
  refuseKernel(call)
  refuseDataDir(dataDirOf(call.config))
}

/** The pod's interface as prevResult tells of it, and its host end as the kernel does. */
function chainedTarget(call: Call, host: RouteSocket): Target {
  const { config, environment } = call
  if (config.prevResult === undefined || config.prevResult === null)
    throw fault(
      code.invalidConfig,
      'required prevResult missing',
      `${call.plugin} changes an interface that a plugin before it made; ` +
        'put it behind that one in the list',
    )
  const { interfaces, ips } = readResult(config.prevResult)
  const sockets = openPod(call)
  const index = interfaces.findIndex(
    ({ name, sandbox }) => name === environment.ifname && sandbox !== undefined,
  )
  const hostEnd = hostEndOf(sockets.pod.link({ name: environment.ifname }), host)
  const master = hostEnd?.master === undefined ? undefined : host.link({ index: hostEnd.master })
  return {
    ...sockets,
    host,
    ips: ips
      .filter((ip) => ip.interface === undefined || index < 0 || ip.interface === index)
      .map(({ address }) => address.replace(/\/\d+$/, '')),
    hostLink: hostEnd?.name ?? null,
    bridge: master?.kind === 'bridge' ? master.name : null,
    origin: 'there',
  }
}

/**
 * The other end, if it is on the host: indexes are a namespace's own, so the two must name each
 * other.
 */
function hostEndOf(podEnd: Link | undefined, host: RouteSocket): Link | undefined {
  if (podEnd?.peer === undefined) return undefined
  const found = host.link({ index: podEnd.peer })
  return found?.kind === 'veth' && found.peer === podEnd.index ? found : undefined
}
