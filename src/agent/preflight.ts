import { readFileSync } from 'node:fs'
import { FilterSocket } from '../kernel/filter-socket.ts'
import type { Native } from '../kernel/native.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import { probeVxlan } from '../wire/rtnl/vxlan.ts'

/** linux/capability.h */
const CAP_NET_ADMIN = 12

/**
 * What this kernel and this process lack, each with its remedy; none: the agent can work. Asked
 * before anything is changed.
 */
export function missingFeatures(
  native: Native,
  processStatus = readFileSync('/proc/self/status', 'utf8'),
): readonly string[] {
  if (!hasCapability(processStatus, CAP_NET_ADMIN))
    return [
      'the process lacks CAP_NET_ADMIN, without which no route can be set; add NET_ADMIN to the ' +
        "container's capabilities, or run it as root",
    ]
  return [...missingVxlan(native), ...missingNftables(native)]
}

/** CapEff of proc(5): the effective set as hexadecimal digits. */
export function hasCapability(processStatus: string, capability: number): boolean {
  const digits = /^CapEff:\s*([0-9a-f]+)$/m.exec(processStatus)?.[1] ?? '0'
  return ((BigInt(`0x${digits}`) >> BigInt(capability)) & 1n) === 1n
}

function missingVxlan(native: Native): readonly string[] {
  const route = new RouteSocket(native, -1, 'the host')
  try {
    if (route.canMake(probeVxlan())) return []
    return ['the kernel has no VXLAN devices (CONFIG_VXLAN); load the module vxlan']
  } finally {
    route.close()
  }
}

function missingNftables(native: Native): readonly string[] {
  try {
    const filter = new FilterSocket(native)
    filter.generation()
    filter.close()
    return []
  } catch (refusal) {
    const said = refusal instanceof Error ? refusal.message : String(refusal)
    return [`the kernel has no nf_tables (${said}); load the module nf_tables`]
  }
}
