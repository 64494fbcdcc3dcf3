import { formatPrefix, networkOf, parsePrefix } from '../base/prefix.ts'
import { describe } from './config.ts'
import { code, fault } from './fault.ts'

/** What flanneld says of this node. */
export type SubnetEnv = {
  /** Networks of all nodes, and this node's part, as networks; IPv4 first. */
  readonly networks: readonly string[]
  readonly subnets: readonly string[]
  readonly mtuBytes: number
  /** flanneld masquerades itself. */
  readonly ipMasq: boolean
}

/**
 * The file that flanneld writes: lines KEY=VALUE. FLANNEL_MTU and FLANNEL_IPMASQ must be there, and
 * the network and subnet of one family at least; FLANNEL_SUBNET is the bridge's own address in it.
 * `path` is for the refusals.
 */
export function parseSubnetEnv(text: string, path: string): SubnetEnv {
  const values = new Map(
    text
      .split('\n')
      .map((line) => line.trim().split('='))
      .map(([key = '', ...rest]) => [key, rest.join('=')]),
  )
  const refuse = (key: string, accepted: string): Error =>
    fault(
      code.invalidConfig,
      'invalid subnet file',
      `${key} in ${path} is ${describe(values.get(key) ?? 'absent')}; accepted: ${accepted}; ` +
        'flanneld writes this file: start it again, and let nobody else write there',
    )
  const networksOf = (key: string): readonly string[] =>
    (values.get(key) ?? '')
      .split(',')
      .filter((word) => word !== '')
      .map((word) => {
        const prefix = parsePrefix(word.trim())
        if (prefix) return formatPrefix(networkOf(prefix))
        throw refuse(key, 'a network such as 10.244.0.0/16')
      })
  const families = [
    ['FLANNEL_NETWORK', 'FLANNEL_SUBNET'],
    ['FLANNEL_IPV6_NETWORK', 'FLANNEL_IPV6_SUBNET'],
  ] as const
  const found = families.map(([network, subnet]) => ({
    networks: networksOf(network),
    subnets: networksOf(subnet),
  }))
  const whole = found.filter(({ networks, subnets }) => networks.length > 0 && subnets.length > 0)
  if (whole.length === 0) throw refuse('FLANNEL_SUBNET', "this node's subnet, and FLANNEL_NETWORK")
  const mtu = values.get('FLANNEL_MTU') ?? ''
  if (!/^\d{1,5}$/.test(mtu)) throw refuse('FLANNEL_MTU', 'bytes, such as 1450')
  const ipMasq = values.get('FLANNEL_IPMASQ') ?? ''
  if (!/^(true|false)$/.test(ipMasq)) throw refuse('FLANNEL_IPMASQ', 'true or false')
  return {
    networks: whole.flatMap(({ networks }) => networks),
    subnets: whole.flatMap(({ subnets }) => subnets.slice(0, 1)),
    mtuBytes: Number(mtu),
    ipMasq: ipMasq === 'true',
  }
}
