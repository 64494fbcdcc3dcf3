import type { Family } from '../base/address.ts'
import { formatPrefix, type Prefix } from '../base/prefix.ts'

export type ConflistWish = {
  readonly podCIDRs: readonly Prefix[]
  readonly mtuBytes: number
  readonly ipMasq: boolean
  readonly dataDir: string
  /** Pods are closed until their policies are known; absent: there are none. */
  readonly policy?: { readonly runDir: string }
}

export const defaultDataDir = '/var/lib/cni/tulle'
const defaultRunDir = '/run/tulle'

/**
 * The network list of this node (CNI 1.0.0, which every runtime of today reads): one range set a
 * family, so that a pod has an address of each. What is inside the cluster, and so not masqueraded,
 * stands in nftables: it changes with every node, and pods that run must not miss that.
 */
export function conflistText(wish: ConflistWish): string {
  const { podCIDRs, mtuBytes, ipMasq, dataDir, policy } = wish
  const runDir = policy?.runDir === defaultRunDir ? {} : policy
  const families = ([4, 6] as const).filter((family) => ofFamily(podCIDRs, family).length > 0)
  const ranges = families.map((family) =>
    ofFamily(podCIDRs, family).map((prefix) => ({ subnet: formatPrefix(prefix) })),
  )
  const plugin = {
    type: 'tulle',
    mode: 'routed',
    mtu: mtuBytes,
    ipMasq,
    ...(policy ? { policy: { enforce: true, ...runDir } } : {}),
    capabilities: {
      ips: true,
      ipRanges: true,
      mac: true,
      dns: true,
      portMappings: true,
      bandwidth: true,
      'io.kubernetes.cri.pod-annotations': true,
    },
    ipam: {
      type: 'host-local',
      ranges,
      ...(dataDir === defaultDataDir ? {} : { dataDir }),
    },
  }
  const list = { cniVersion: '1.0.0', name: 'tulle', plugins: [plugin] }
  return `${JSON.stringify(list, undefined, 2)}\n`
}

const ofFamily = (prefixes: readonly Prefix[], family: Family): readonly Prefix[] =>
  prefixes.filter(({ address }) => address.family === family)

/** Addresses that pods can have: not the network's own, the gateway's, nor IPv4's broadcast. */
export function poolSize({ address, bits }: Prefix): bigint {
  const size = 1n << BigInt((address.family === 4 ? 32 : 128) - bits)
  if (size <= 2n) return size
  return size - (address.family === 4 ? 3n : 2n)
}
