import type { RouteMode } from '../cluster/node.ts'

/** A node of the list; `address` is the first of `addresses`. */
export type OverlayNodeConfig = {
  readonly name: string
  readonly address?: string
  readonly addresses?: readonly string[]
  readonly podCIDRs: readonly string[]
  readonly mode?: RouteMode
}

/** The key `overlay`: all nodes, for a plugin that no agent tells of them. */
export type OverlayConfig = {
  readonly type: 'vxlan'
  readonly mode?: RouteMode
  readonly vni?: number
  readonly port?: number
  readonly mtu?: number
  /** Name of this node in the list; left out, it is the one whose address this host has. */
  readonly node?: string
  readonly nodes: readonly OverlayNodeConfig[]
}

const mode = { enum: ['auto', 'vxlan', 'direct'], description: '"auto", "vxlan" or "direct"' }
const name = { type: 'string', minLength: 1, description: 'the name of a node' }
const address = { type: 'string', description: 'an IP address such as "192.0.2.11"' }

const node = {
  type: 'object',
  description:
    'a node: {"name": "a", "address": "192.0.2.11", "podCIDRs": ["10.244.1.0/24"]}, ' +
    'with mode if wanted',
  required: ['name', 'podCIDRs'],
  properties: {
    name,
    address,
    addresses: { type: 'array', description: 'a list of IP addresses', items: address },
    podCIDRs: {
      type: 'array',
      minItems: 1,
      description: 'a non-empty list of networks such as ["10.244.1.0/24"]',
      items: { type: 'string', description: 'a network such as "10.244.1.0/24"' },
    },
    mode,
  },
}

const within = (least: number, most: number, description: string) => ({
  type: 'integer',
  minimum: least,
  maximum: most,
  description,
})

export const overlaySchema = {
  type: 'object',
  description: 'an overlay: {"type": "vxlan", "nodes": […]}, with mode, vni, port, mtu, node',
  required: ['type', 'nodes'],
  properties: {
    type: { enum: ['vxlan'], description: '"vxlan"' },
    mode,
    vni: within(1, 16_777_215, 'a VXLAN network identifier, 1 to 16777215'),
    port: within(1, 65535, 'a UDP port, 1 to 65535'),
    mtu: within(68, 65535, '68 to 65535 bytes (1280 at least with IPv6)'),
    node: name,
    nodes: { type: 'array', minItems: 1, description: 'a non-empty list of nodes', items: node },
  },
}
