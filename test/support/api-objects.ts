import type { ApiObject } from './api-store.ts'

/** What a Node of our size looks like: `bytes` is about its length as JSON. */
export function nodeObject(
  index: number,
  { bytes = 0, podCIDRs = podCIDRsOf(index) } = {},
): ApiObject {
  const name = `node-${index}`
  const node: ApiObject = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name }, annotations: {} },
    spec: { podCIDR: podCIDRs[0], podCIDRs },
    status: {
      addresses: [
        { type: 'InternalIP', address: addressOf(index) },
        { type: 'Hostname', address: name },
      ],
      conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'ready' }],
    },
  }
  return padded(node, bytes)
}

/** A Pod on a node of its own number modulo `nodes`. */
export function podObject(index: number, { bytes = 0, nodes = 10 } = {}): ApiObject {
  const pod: ApiObject = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `pod-${index}`, namespace: `space-${index % 7}`, labels: { app: 'web' } },
    spec: { nodeName: `node-${index % nodes}`, containers: [{ name: 'main', image: 'web:1' }] },
    status: { phase: 'Running', podIP: `10.244.${index >> 8}.${index & 255}` },
  }
  return padded(pod, bytes)
}

/** 172.16.0.0/12 and 10.0.0.0/8 have room for 60,000 nodes. */
const addressOf = (index: number): string => `172.16.${index >> 8}.${index & 255}`
const podCIDRsOf = (index: number): readonly string[] => [`10.${index >> 8}.${index & 255}.0/24`]

/** What fills real Nodes: images, here with the letters that JSON escapes. */
function padded(object: ApiObject, bytes: number): ApiObject {
  const missing = bytes - JSON.stringify(object).length
  if (missing <= 0) return object
  const image = {
    names: [`registry.example/"räder"\\image@sha256:${'0'.repeat(64)}`],
    sizeBytes: 1,
  }
  const count = Math.ceil(missing / JSON.stringify(image).length)
  const images = Array.from({ length: count }, (_, at) => ({ ...image, sizeBytes: at }))
  return { ...object, status: { ...(object.status as object), images } }
}
