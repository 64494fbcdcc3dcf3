import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  type Stats,
  statfsSync,
  statSync,
} from 'node:fs'
import { parseConfig, parseConfigForDel } from '../cni/config.ts'
import type { Environment } from '../cni/environment.ts'
import { code, fault } from '../cni/fault.ts'
import type { NetworkConfig } from '../cni/network-config.ts'
import type { AttachmentId } from '../datapath/attachment.ts'
import type { LinkRemover } from '../kernel/link-remover.ts'
import type { Native } from '../kernel/native.ts'
import { errno, KernelRefusal } from '../kernel/refusal.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import { LeaseStore } from '../store/lease-store.ts'
import type { OpenDatabases } from '../store/open-databases.ts'
import { defaultDataDir } from '../store/places.ts'
import { configFor } from './called.ts'
import type { PluginName } from './names.ts'
import type { Overlay } from './overlay-config.ts'

/** Who is asked, and by what it may reach the kernel and people. */
export type Called = {
  readonly native: Native
  readonly plugin: PluginName
  /** Says something to the people who run the node; runtimes log standard error. */
  readonly note: (text: string) => void
  /** CNI_NETNS, where the caller has opened it already; it is the caller's to close. */
  readonly netnsFd?: number
  /** Absent: who deletes a link waits until the kernel has forgotten it. */
  readonly remover?: LinkRemover
  /** Where stores stay open for the next call; absent: there is none. */
  readonly stores?: OpenDatabases
  /** Why an ADD could not be served now, as an agent knows it; absent: nobody knows more. */
  readonly obstacle?: () => string | undefined
  /** Names one attempt of an ADD, and is kept with what it records. */
  readonly attempt?: string
  /** This attempt has been begun by a worker that died: what is on record of it is undone first. */
  readonly isRepeated?: boolean
}

/** One call, read: what every verb works on. */
export type Call = Called & {
  readonly environment: Environment
  /** Standard input as it came, for delegates. */
  readonly input: string
  readonly config: NetworkConfig
  /** The key `overlay`, with what this host is in it; read by those verbs that need it. */
  readonly overlay?: Overlay
  readonly id: AttachmentId
}

export function readCall(called: Called, environment: Environment, input: string): Call {
  const config = environment.verb === 'DEL' ? parseConfigForDel(input) : parseConfig(input)
  const { container, ifname } = environment
  return {
    ...called,
    environment,
    input,
    config: configFor(called.plugin, config),
    id: { network: config.name, container, ifname },
  }
}

/**
 * Where the store of this network is; host-local's own default is only adopted from, never written
 * to.
 */
export function dataDirOf({ ipam, dataDir }: NetworkConfig): string {
  const chosen = (isBuiltIn(ipam) ? ipam?.dataDir : undefined) ?? dataDir
  return chosen === undefined || chosen === '' ? defaultDataDir : chosen
}

/** The IPAM plugins that Tulle is itself; no type at all means no addresses. */
export const isHostLocal = (ipam: NetworkConfig['ipam']): boolean => ipam?.type === 'host-local'
export const isStatic = (ipam: NetworkConfig['ipam']): boolean => ipam?.type === 'static'
const isBuiltIn = (ipam: NetworkConfig['ipam']): boolean => isHostLocal(ipam) || isStatic(ipam)

/** Names of ours that run IPAM plugins: run as one, they would run themselves again. */
const interfaceMakers = ['tulle', 'bridge', 'ptp', 'flannel']
export const isOurself = (name: string, { type }: NetworkConfig): boolean =>
  name === type || interfaceMakers.includes(name)

/** Name of an external IPAM plugin, if one is configured; never ourselves, without end. */
export function delegateOf(config: NetworkConfig): string | undefined {
  const { ipam } = config
  return ipam?.type && !isBuiltIn(ipam) && !isOurself(ipam.type, config) ? ipam.type : undefined
}

/** The store, locked, for one transaction: committed if `use` returns, rolled back if it throws. */
export const withStore = <T>({ native, config, stores }: Call, use: (store: LeaseStore) => T): T =>
  LeaseStore.use(dataDirOf(config), native.lock, use, stores)

/** As `withStore`, but a store that was never made is not made now: nothing can be in it. */
export function withExistingStore<T>(call: Call, use: (store: LeaseStore) => T): T | undefined {
  return existsSync(`${dataDirOf(call.config)}/tulle.db`) ? withStore(call, use) : undefined
}

/**
 * f_type of nsfs (linux/magic.h, NSFS_MAGIC): what a path under /run/netns is once a namespace is
 * mounted there.
 */
const NSFS_MAGIC = 0x6e736673

type Door = Pick<Called, 'native' | 'netnsFd'> & { readonly environment: Environment }

/** The pod's namespace and a socket in it. */
export function openPod(door: Door): { netnsFd: number; pod: RouteSocket } {
  const { native, environment } = door
  const netnsFd = openNetns(door)
  try {
    return { netnsFd, pod: new RouteSocket(native, netnsFd, 'the pod') }
  } catch (refusal) {
    closeUnlessGiven(door, netnsFd)
    if (!(refusal instanceof KernelRefusal) || refusal.errno !== errno.EINVAL) throw refusal
    // setns(2): a namespace, but of another kind.
    throw notNetns(`${environment.netns} is a namespace of another kind than network`)
  }
}

const notNetns = (details: string): Error =>
  fault(code.invalidNetns, 'CNI_NETNS is not a network namespace', details)

/**
 * Opens CNI_NETNS; refuses what is no network namespace, and the plugin's own (specification
 * "CNI_NETNS").
 */
function openNetns(door: Door): number {
  const { netns, mayShareNetns } = door.environment
  const fd = door.netnsFd ?? openOrRefuse(netns)
  try {
    if (statfsSync(`/proc/self/fd/${fd}`).type !== NSFS_MAGIC)
      throw notNetns(
        `${netns} is an ordinary file: nothing is mounted there; was the namespace removed?`,
      )
    if (!mayShareNetns && isOwnNetns(fstatSync(fd)))
      throw fault(
        code.invalidNetns,
        "plugin's netns and netns from CNI_NETNS should not be the same",
        `${netns} is the host's own namespace; pods need one of their own`,
      )
    return fd
  } catch (refusal) {
    closeUnlessGiven(door, fd)
    throw refusal
  }
}

function closeUnlessGiven({ netnsFd }: Door, fd: number): void {
  if (fd !== netnsFd) closeSync(fd)
}

/** What CNI_NETNS is; undefined where nothing has that name. */
export function statNetns({ netnsFd, environment }: Omit<Door, 'native'>): Stats | undefined {
  if (netnsFd !== undefined) return fstatSync(netnsFd)
  const { netns } = environment
  return netns === '' ? undefined : statSync(netns, { throwIfNoEntry: false })
}

export function isOwnNetns(target: { readonly ino: number; readonly dev: number }): boolean {
  const own = statSync('/proc/self/ns/net')
  return own.ino === target.ino && own.dev === target.dev
}

function openOrRefuse(netns: string): number {
  try {
    return openSync(netns, 'r')
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw fault(
      code.invalidNetns,
      'cannot open CNI_NETNS',
      `${reason}; the runtime must create the namespace before ADD and CHECK`,
    )
  }
}
