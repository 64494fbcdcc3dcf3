import { describe } from '../cni/config.ts'
import { code, fault } from '../cni/fault.ts'
import type { NetworkConfig } from '../cni/network-config.ts'
import { parseSubnetEnv, type SubnetEnv } from '../cni/subnet-env.ts'
import { readText } from './files.ts'

type Json = Readonly<Record<string, unknown>>

const defaultSubnetFile = '/run/flannel/subnet.env'

/** subnet.env as it is now; code 11 while flanneld has not written it. */
export function readSubnetEnv({ subnetFile }: NetworkConfig): SubnetEnv {
  const path = subnetFile || defaultSubnetFile
  let text: string | undefined
  try {
    text = readText(path)
  } catch (refusal) {
    const reason = refusal instanceof Error ? refusal.message : String(refusal)
    throw fault(
      code.io,
      'cannot read the subnet file',
      `${reason}; flanneld writes ${path}: make it a file that can be read`,
    )
  }
  if (text !== undefined) return parseSubnetEnv(text, path)
  throw fault(
    code.tryAgainLater,
    'no subnet file yet',
    `${path} is not there; flanneld writes it once it has a subnet for this node: see that ` +
      'flanneld runs, or name its file in "subnetFile"',
  )
}

/**
 * The configuration that the other plugin gets, but for what subnet.env says; of any delegate: DEL
 * must do with it what it can.
 */
export function outlineOf(config: NetworkConfig): Json {
  const { name, cniVersion, ipam, runtimeConfig, args, policy } = config
  return {
    type: 'bridge',
    ...(policy === undefined ? {} : { policy }),
    ...config.delegate,
    name,
    cniVersion,
    ipam: { ...ipam, type: ipam?.type ?? 'host-local' },
    ...(runtimeConfig === undefined ? {} : { runtimeConfig }),
    ...(args === undefined || args === null ? {} : { args }),
  }
}

function refuseDelegate({ delegate = {}, type: own }: NetworkConfig): void {
  for (const key of ['name', 'ipam'])
    if (Object.hasOwn(delegate, key))
      throw invalid(`delegate.${key}`, delegate[key], 'nothing: flannel itself sets it')
  const { type = 'bridge' } = delegate
  if (typeof type !== 'string' || type === '' || type.includes('/'))
    throw invalid('delegate.type', type, 'the name of a plugin, such as "bridge"')
  if (type === 'flannel' || type === own)
    throw invalid('delegate.type', type, 'a plugin other than this one, such as "bridge"')
}

/** The whole of it: what the delegate says of itself wins over what follows from subnet.env. */
export function delegateConf(config: NetworkConfig, env: SubnetEnv): Json {
  refuseDelegate(config)
  const outline = outlineOf(config)
  const { ipam } = config
  return {
    ipMasq: !env.ipMasq,
    mtu: env.mtuBytes,
    ...(outline.type === 'bridge' ? { isGateway: true } : {}),
    ...outline,
    ipam: {
      type: 'host-local',
      ...ipam,
      ranges: [...(ipam?.ranges ?? []), ...env.subnets.map((subnet) => [{ subnet }])],
      routes: [...(ipam?.routes ?? []), ...env.networks.map((dst) => ({ dst }))],
    },
  }
}

const invalid = (path: string, found: unknown, accepted: string): Error =>
  fault(
    code.invalidConfig,
    'invalid network configuration',
    `${path} is ${describe(found)}; accepted: ${accepted}`,
  )
