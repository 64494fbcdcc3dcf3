import { join } from 'node:path'

/** Several clusters may stand side by side on a machine, each with a name of its own. */
export const clusterName = readName(process.env.TULLE_CLUSTER_NAME ?? 'tulle-cluster')

/** Everything of the cluster is below this folder; `down` removes it. */
export const stateDir = join('/var/lib', clusterName)

/** The cluster's own cgroup in every hierarchy; each node has one below it. */
export const cgroupRoot = `/${clusterName}`

export const places = {
  admin: join(stateDir, 'admin.conf'),
  pki: join(stateDir, 'pki'),
  bin: join(stateDir, 'bin'),
  facts: join(stateDir, 'facts.json'),
  logs: join(stateDir, 'logs'),
} as const

export const podRanges = ['10.244.0.0/16', 'fd00:10:244::/48'] as const
export const serviceRanges = ['10.96.0.0/16', 'fd00:10:96::/112'] as const
/** The first address of each range is the API server's Service. */
export const apiServices = ['10.96.0.1', 'fd00:10:96::1'] as const
export const dnsService = '10.96.0.10'
export const clusterDomain = 'cluster.local'

/** `near` is one bridge; `far` is behind a router, where plain routes to pods can't lead. */
export type Segment = 'near' | 'far'

export type Site = Readonly<{ name: string; segment: Segment; v4: string; v6: string }>

export const controlPlane: Site = {
  name: 'cp',
  segment: 'near',
  v4: '172.30.0.1',
  v6: 'fd00:172:30::1',
}

export const nodeSites: readonly Site[] = [
  { name: 'w1', segment: 'near', v4: '172.30.0.11', v6: 'fd00:172:30::11' },
  { name: 'w2', segment: 'near', v4: '172.30.0.12', v6: 'fd00:172:30::12' },
  { name: 'w3', segment: 'far', v4: '172.30.1.13', v6: 'fd00:172:30:1::13' },
]

export const routers: Readonly<Record<Segment, { readonly v4: string; readonly v6: string }>> = {
  near: { v4: '172.30.0.254', v6: 'fd00:172:30::fe' },
  far: { v4: '172.30.1.254', v6: 'fd00:172:30:1::fe' },
}

export const apiServerUrl = `https://${controlPlane.v4}:6443`

/** `down` removes what has this name: an empty one, or one with a slash, would name too much. */
function readName(name: string): string {
  if (/^[a-z][a-z0-9-]{0,39}$/.test(name)) return name
  throw new Error(`TULLE_CLUSTER_NAME is small letters, digits and dashes, not "${name}"`)
}
