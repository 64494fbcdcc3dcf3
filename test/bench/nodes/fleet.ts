// The cluster that the contenders find: nodes elsewhere, reached through a router, each with a /24.
import type { ApiObject } from '../../support/api-store.ts'

/** The n-th node's /24 of 10.128.0.0/9: room for 32,768. */
export const podCIDROf = (n: number): string => `10.${128 + (n >> 8)}.${n & 255}.0/24`
export const network = '10.128.0.0/9'

const addressOf = (n: number): string => `10.100.${n >> 8}.${n & 255}`

/** Locally administered, unlike any other node's. */
const macOf = (n: number): string => {
  const hex = n.toString(16).padStart(6, '0')
  return `02:00:00:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4)}`
}

/** A Node as kubelet keeps it (12 KB with its images), and as Flannel has annotated it. */
export const nodeObject = (name: string, n: number, address = addressOf(n)): ApiObject => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: {
    name,
    labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux' },
    annotations: {
      'flannel.alpha.coreos.com/kube-subnet-manager': 'true',
      'flannel.alpha.coreos.com/backend-type': 'vxlan',
      'flannel.alpha.coreos.com/backend-data': `{"VNI":1,"VtepMAC":"${macOf(n)}"}`,
      'flannel.alpha.coreos.com/public-ip': address,
    },
  },
  spec: { podCIDR: podCIDROf(n), podCIDRs: [podCIDROf(n)] },
  status: {
    addresses: [
      { type: 'InternalIP', address },
      { type: 'Hostname', address: name },
    ],
    conditions: [condition('MemoryPressure'), condition('DiskPressure'), condition('Ready')],
    images: Array.from({ length: imagesOfNode }, (_, at) => ({
      names: [
        `registry.example/team-${at}/application-${at}@sha256:${'0123456789abcdef'.repeat(4)}`,
      ],
      sizeBytes: 40_000_000 + at,
    })),
  },
})
/** What kubelet reports at most (--node-status-max-images). */
const imagesOfNode = 50

const condition = (type: string): object => ({
  type,
  status: type === 'Ready' ? 'True' : 'False',
  reason: 'KubeletHasSufficientResources',
})

/** What kubelet writes every few minutes, and what no route depends on. */
export const withHeartbeat = (node: ApiObject, beat: number): ApiObject => ({
  ...node,
  status: {
    ...(node.status as object),
    conditions: [{ ...condition('Ready'), lastHeartbeatTime: new Date(beat).toISOString() }],
  },
})
