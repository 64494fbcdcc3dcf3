// @ts-check
// The rooms of src/, their layers, and what each is for.

/**
 * @typedef {Readonly<{ room: string, layer: number, text: string }>} Room what `text` says of it
 */

/** @type {readonly Room[]} from the lowest layer to the highest */
export const rooms = [
  { room: 'base', layer: 0, text: 'values that cannot be wrong once made; Reader and Writer' },
  { room: 'wire/netlink', layer: 1, text: 'messages, attributes and the error reply of netlink' },
  { room: 'wire/rtnl', layer: 1, text: 'links, addresses, routes, neighbours, rules' },
  { room: 'wire/nft', layer: 1, text: 'nf_tables objects and the batch that changes them' },
  { room: 'wire/conntrack', layer: 1, text: 'conntrack entries and events' },
  { room: 'wire/nflog', layer: 1, text: 'packets that a rule logged' },
  { room: 'cluster', layer: 1, text: 'the fields we read of Kubernetes objects; Snapshot' },
  { room: 'cni', layer: 2, text: 'environment and stdin → request; result or error → JSON' },
  { room: 'ipam', layer: 2, text: '(ranges, leases, ask) → (answer, leases′)' },
  { room: 'datapath', layer: 2, text: 'the wanted wiring as undoable steps; diff' },
  { room: 'overlay', layer: 2, text: 'nodes → wanted routes, FDB, neighbours; MTU' },
  { room: 'policy', layer: 2, text: 'select → compile → ruleset; verdict, explain' },
  { room: 'flow', layer: 2, text: 'fold of events → records' },
  { room: 'bgp', layer: 2, text: 'nodes, peers → FRR configuration' },
  { room: 'kernel', layer: 3, text: 'sockets in a netns, nft commit, sysctl; the native code' },
  { room: 'store', layer: 3, text: 'leases on disk, boot id, lock' },
  { room: 'kube', layer: 3, text: 'list, watch, backoff → Snapshot' },
  { room: 'serve', layer: 3, text: 'unix socket and HTTP: metrics, health, flows' },
  { room: 'frr', layer: 3, text: 'drives FRR' },
  { room: 'envoy', layer: 3, text: 'drives Envoy' },
  { room: 'plugin', layer: 4, text: 'the CNI process: read → lease → kernel → print' },
  { room: 'agent', layer: 4, text: 'the node agent: one loop a file, and their wiring' },
  { room: 'cli', layer: 4, text: "the operator's tool: one file a command" },
  { room: 'web', layer: 4, text: 'pages' },
]

const layerOf = new Map(rooms.map(({ room, layer }) => [room, layer]))

/**
 * The room of a file in src/; a file directly in src/ is a `main`, above every layer.
 * @param {string} file
 */
export function roomOf(file) {
  const [, first = '', second = '', ...rest] = file.split('/')
  if (second === '') return 'main'
  return first === 'wire' && rest.length > 0 ? `wire/${second}` : first
}

/** @param {string} room */
export const layerNumber = (room) => (room === 'main' ? 5 : layerOf.get(room))

/** The first layer whose rooms act; those below are pure. */
export const actingLayer = 3

/** @param {string} file */
export const placeOf = (file) => ({
  room: roomOf(file),
  layer: layerNumber(roomOf(file)) ?? actingLayer, // an unknown room is reported as such
})
