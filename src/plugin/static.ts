import { formatAddress, parseAddress } from '../base/address.ts'
import { contains, parsePrefix } from '../base/prefix.ts'
import { describe } from '../cni/config.ts'
import { code, fault } from '../cni/fault.ts'
import { isAtLeast } from '../cni/version.ts'
import type { Call } from './context.ts'
import type { Given } from './describe.ts'

/** An address as somebody wrote it down, and where. */
type Written = { readonly path: string; readonly address: string; readonly gateway?: string }

/**
 * The addresses that IPAM `static` gives: the runtime's (capability ips) instead of those of
 * args.cni.ips, those instead of the configured ones with CNI_ARGS' behind them. Nobody watches
 * that no two pods get the same one.
 */
export function staticAddresses(call: Call): readonly Given[] {
  const given = writtenAddresses(call).map(parseWritten)
  if (given.length === 0)
    throw fault(
      code.invalidConfig,
      'no address for static',
      'ipam has no addresses, and the runtime asked for none; give one, such as ' +
        '"addresses": [{"address": "10.10.0.5/24", "gateway": "10.10.0.1"}]',
    )
  refuseSecondOfFamily(call, given)
  const gateways = listOf(call.environment.args.get('GATEWAY')).map((text) => {
    const gateway = parseAddress(text)
    if (gateway) return gateway
    throw invalid('CNI_ARGS GATEWAY', text, 'an IP address such as 10.10.0.1')
  })
  return given.map((one) => ({
    ...one,
    gateway: one.gateway ?? gateways.findLast((gateway) => contains(one.prefix, gateway)),
  }))
}

function writtenAddresses({ config, environment }: Call): readonly Written[] {
  const { ipam, args, runtimeConfig } = config
  const plain = (path: string, texts: readonly string[]): readonly Written[] =>
    texts.map((address, at) => ({ path: `${path}[${at}]`, address }))
  if (runtimeConfig?.ips?.length) return plain('runtimeConfig.ips', runtimeConfig.ips)
  if (args?.cni?.ips?.length) return plain('args.cni.ips', args.cni.ips)
  const configured = (ipam?.addresses ?? []).map((one, at) => ({
    path: `ipam.addresses[${at}].address`,
    ...one,
  }))
  const asked = listOf(environment.args.get('IP'))
  return [...configured, ...asked.map((address) => ({ path: 'CNI_ARGS IP', address }))]
}

const listOf = (text = ''): readonly string[] =>
  text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')

function parseWritten({ path, address, gateway }: Written): Given {
  const prefix = parsePrefix(address)
  if (!prefix) throw invalid(path, address, 'an address with its prefix, such as 10.10.0.5/24')
  if (!gateway) return { prefix, gateway: undefined }
  const hop = parseAddress(gateway)
  if (hop?.family === prefix.address.family) return { prefix, gateway: hop }
  throw invalid(
    path.replace(/address$/, 'gateway'),
    gateway,
    `an IPv${prefix.address.family} address`,
  )
}

function refuseSecondOfFamily({ config }: Call, given: readonly Given[]): void {
  if (isAtLeast(config.cniVersion, '0.3.0')) return
  const families = given.map(({ prefix }) => prefix.address.family)
  const second = given.find((one, at) => families.indexOf(one.prefix.address.family) < at)
  if (second)
    throw fault(
      code.invalidConfig,
      'too many addresses',
      `${formatAddress(second.prefix.address)} is a second one of its family, and CNI ` +
        `${config.cniVersion} carries one; use cniVersion 0.3.0 or newer`,
    )
}

const invalid = (path: string, found: string, accepted: string): Error =>
  fault(
    code.invalidConfig,
    'invalid network configuration',
    `${path} is ${describe(found)}; accepted: ${accepted}`,
  )
