import { readFileSync } from 'node:fs'
import { allowlistFile, refuseUnlisted } from '../../cni/allowlist.ts'
import { code, fault } from '../../cni/fault.ts'
import { type AskedSysctl, type AskedTuning, readTuning } from '../../cni/tuning.ts'
import type { Extras } from '../../datapath/extras.ts'
import type { Step } from '../../datapath/steps.ts'
import {
  hostSettings,
  isNothing,
  isSameSysctl,
  type LinkSettings,
  settingDifferences,
  settingSteps,
  settingsBefore,
  type TunedSysctl,
  type Tuning,
} from '../../datapath/tuning.ts'
import { errno, KernelRefusal } from '../../kernel/refusal.ts'
import type { RouteSocket } from '../../kernel/route-socket.ts'
import { Sysctls } from '../../kernel/sysctl.ts'
import type { Link } from '../../wire/rtnl/observed-link.ts'
import { type Call, openPod } from '../context.ts'
import type { Part, PrevResult, Removing, Target } from './part.ts'
import { refuseMac, refuseMtu } from './tuning-refusals.ts'

/** Sysctls and link settings of the pod. */
export const tuning: Part<Tuning> = { wish, apply, remove, amend, check }

function wish(call: Call, target: Target): Tuning | null {
  const asked = readTuning(call)
  const link = settingsAsked(asked, target)
  if (asked.sysctls.length === 0 && isNothing(link)) return null
  refuseOnNode(asked.sysctls)
  const pod = target.pod.link({ name: call.id.ifname })
  if (target.origin === 'there') {
    if (!pod && !isNothing(link)) throw noInterface(call)
    refuseMtu(link, target)
    if (pod) refuseMac(call, { pod, target, mac: link.mac })
  }
  const host = hostEnd(target, pod)
  return {
    sysctls: recorded(asked.sysctls, new Sysctls(call.native, target.netnsFd)),
    link,
    before: {
      netnsCookie: cookieOf(target.pod),
      pod: pod ? settingsBefore(pod, link) : {},
      host: host ? settingsBefore(host, hostSettings(link)) : {},
    },
  }
}

/** Who makes the interface gives it its MAC and MTU from the start: there they are no tuning. */
function settingsAsked(asked: AskedTuning, { origin }: Target): LinkSettings {
  const { sysctls: _, mac, mtuBytes, ...rest } = asked
  return origin === 'new' ? rest : { ...rest, mac, mtuBytes }
}

const cookieOf = (pod: RouteSocket): string | null => pod.netnsCookie()?.toString() ?? null

const noInterface = ({ id, environment }: Call): Error =>
  fault(
    code.invalidConfig,
    'there is no interface to tune',
    `${environment.netns} has no link ${id.ifname}; ` +
      'put the plugin that makes it before this one in the list',
  )

/** Without the list everything is allowed, as with the reference plugin. */
function refuseOnNode(sysctls: readonly AskedSysctl[]): void {
  if (sysctls.length === 0) return
  let list: string
  try {
    list = readFileSync(allowlistFile, 'utf8')
  } catch (refusal) {
    if ((refusal as NodeJS.ErrnoException).code === 'ENOENT') return
    throw refusal
  }
  refuseUnlisted(
    sysctls.map(({ key }) => key),
    list,
  )
}

/** As long as what Sysctls reads at most: a value of that length may be a part of one. */
const valueLengthMax = 255

function recorded(asked: readonly AskedSysctl[], sysctls: Sysctls): readonly TunedSysctl[] {
  return asked.map(({ path, value }) => {
    const before = readIfReadable(sysctls, path)
    return { path, value, before: before && before.length < valueLengthMax ? before : null }
  })
}

/** Some can only be written (net.ipv4.route.flush); some have no value yet (stable_secret). */
function readIfReadable(sysctls: Sysctls, path: string): string | undefined {
  try {
    return sysctls.read(path)
  } catch (refusal) {
    if (refusal instanceof KernelRefusal) return undefined
    throw refusal
  }
}

function apply(call: Call, { tuning: wanted }: Extras, target: Target): void {
  if (!wanted) return
  const sysctls = new Sysctls(call.native, target.netnsFd)
  for (const { path, value } of wanted.sysctls) writeSysctl(sysctls, path, value)
  if (isNothing(wanted.link)) return
  const pod = target.pod.link({ name: call.id.ifname })
  if (!pod) throw noInterface(call)
  const host = hostEnd(target, pod)
  target.pod.run(settingSteps(pod, wanted.link))
  if (host) target.host.run(settingSteps(host, hostSettings(wanted.link)))
}

function writeSysctl(sysctls: Sysctls, path: string, value: string): void {
  try {
    const there = readIfReadable(sysctls, path)
    // Nothing written is nothing changed: the kernel takes an empty line for an empty value.
    if (there === undefined || !isSameSysctl(there, value)) sysctls.write(path, value || '\n')
  } catch (refusal) {
    throw refusal instanceof KernelRefusal ? sysctlFault(path, value, refusal) : refusal
  }
}

function sysctlFault(path: string, value: string, refusal: KernelRefusal): Error {
  const name = path.replaceAll('/', '.')
  if (refusal.errno === errno.ENOENT)
    return fault(
      code.invalidConfig,
      'unknown sysctl',
      `${refusal.message}; the pod's namespace has no ${name} on this kernel: drop it`,
    )
  const mayNot: readonly number[] = [errno.EPERM, errno.EACCES, errno.EROFS]
  if (mayNot.includes(refusal.errno))
    return fault(
      code.io,
      'cannot write a sysctl',
      `${refusal.message}; ${name} belongs to the whole node, or /proc/sys is read-only here`,
    )
  return fault(
    code.invalidConfig,
    'the kernel refused the value of a sysctl',
    `${refusal.message}; ${name} does not take ${JSON.stringify(value)}`,
  )
}

/** The other end of the pod's veth, if it is on this host: each must say so of the other. */
function hostEnd(
  { host, hostLink }: Pick<Target, 'host' | 'hostLink'>,
  pod: Link | undefined,
): Link | undefined {
  const link = hostLink === null ? undefined : host.link({ name: hostLink })
  return pod && link && link.peer === pod.index && pod.peer === link.index ? link : undefined
}

/**
 * What was before comes back if the namespace is still the one of ADD. What cannot be had back is
 * noted: the pod goes, and nothing of it may keep the rest from being cleaned up.
 */
function remove(
  call: Call,
  { tuning: done, hostLink, ifname }: Extras,
  removing: Pick<Removing, 'host'>,
): void {
  if (!done || call.environment.netns === '') return
  const sockets = podOf(call, done)
  if (!sockets) return
  const attempt = (work: () => unknown): void => {
    try {
      work()
    } catch (refusal) {
      call.note(`${refusal instanceof Error ? refusal.message : String(refusal)}; left as it is`)
    }
  }
  const sysctls = new Sysctls(call.native, sockets.netnsFd)
  const restore = (socket: RouteSocket, steps: readonly Step[]): void => {
    for (const step of steps.toReversed()) attempt(() => socket.run([step]))
  }
  const pod = sockets.pod.link({ name: ifname })
  if (pod) {
    const host = hostEnd({ host: removing.host, hostLink }, pod)
    if (host) restore(removing.host, settingSteps(host, done.before.host))
    restore(sockets.pod, settingSteps(pod, done.before.pod))
  }
  for (const { path, before } of done.sysctls.toReversed())
    if (before !== null && sysctls.has(path)) attempt(() => sysctls.ensure(path, before))
}

/** The namespace of ADD; undefined if it is gone, or another one has its path. */
function podOf(call: Call, { before }: Tuning): ReturnType<typeof openPod> | undefined {
  try {
    const sockets = openPod(call)
    return cookieOf(sockets.pod) === before.netnsCookie ? sockets : undefined
  } catch {
    return undefined
  }
}

/** MAC and MTU as they are now; interfaces had no MTU in results before CNI 1.1.0. */
function amend({ tuning: done, ifname, hostLink }: Extras, result: PrevResult): PrevResult {
  const { interfaces, cniVersion } = result
  if (!done || !Array.isArray(interfaces)) return result
  const { mac, mtuBytes } = done.link
  const amended = interfaces.map((item: unknown) => {
    if (typeof item !== 'object' || item === null) return item
    const { name, mtu } = item as { name?: unknown; mtu?: unknown }
    const tellsMtu = mtu !== undefined || cniVersion === '1.1.0'
    const newMtu = mtuBytes !== undefined && tellsMtu ? { mtu: mtuBytes } : {}
    if (name === ifname) return { ...item, ...(mac === undefined ? {} : { mac }), ...newMtu }
    return name === hostLink && mtu !== undefined ? { ...item, ...newMtu } : item
  })
  return { ...result, interfaces: amended }
}

function check(call: Call, { tuning: done }: Extras, target: Target): readonly string[] {
  if (!done) return []
  const sysctls = new Sysctls(call.native, target.netnsFd)
  const pod = target.pod.link({ name: call.id.ifname })
  const host = hostEnd(target, pod)
  return [
    ...done.sysctls.flatMap(({ path, value }) => {
      const name = `sysctl ${path.replaceAll('/', '.')}`
      if (!sysctls.has(path)) return [`${name} is not there`]
      const there = readIfReadable(sysctls, path)
      if (there === undefined || isSameSysctl(there, value)) return []
      return [`${name} is ${JSON.stringify(there)}, not ${JSON.stringify(value)}`]
    }),
    ...settingDifferences(`pod's ${call.id.ifname}`, pod, done.link),
    ...(host ? settingDifferences(`host end ${host.name}`, host, hostSettings(done.link)) : []),
  ]
}
