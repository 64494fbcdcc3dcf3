import { closeSync, existsSync, openSync, readFileSync, rmSync } from 'node:fs'
import { dirname } from 'node:path/posix'
import { type Prefix, parsePrefix } from '../base/prefix.ts'
import { nodePortTable } from '../datapath/node-port-guard.ts'
import { policyTable } from '../datapath/policy-table.ts'
import { setCluster } from '../kernel/cluster-set.ts'
import { FabricSocket } from '../kernel/fabric-socket.ts'
import { FilterSocket } from '../kernel/filter-socket.ts'
import type { Native } from '../kernel/native.ts'
import { refusedBatch } from '../kernel/refusal.ts'
import { LOCK_EX } from '../store/database.ts'
import { syncFolder } from '../store/durable.ts'
import { allHoldings } from '../store/holdings.ts'
import { knownNodesPath } from '../store/known-nodes.ts'
import { LeaseStore } from '../store/lease-store.ts'
import { deleteTable, ensureTable } from '../wire/nft/table.ts'
import { type Desk, type Option, requiredText, ToolFault } from './command.ts'
import { dataDirOption } from './leases.ts'

export type Deed = { readonly path: string; readonly did: string }

/** Where the agent of this node kept what; the same defaults. */
export const nodeOptions = {
  conflist: {
    type: 'string',
    value: 'FILE',
    default: '/etc/cni/net.d/10-tulle.conflist',
    text: 'the network list that the agent wrote',
  },
  'data-dir': dataDirOption,
  'state-dir': {
    type: 'string',
    value: 'DIR',
    default: '/var/lib/cni/tulle',
    text: 'where the agent kept the last known nodes',
  },
  'run-dir': {
    type: 'string',
    value: 'DIR',
    default: '/run/tulle',
    text: "folder of the agent's sockets",
  },
} satisfies Readonly<Record<string, Option>>

/** An agent would make all of it again. */
export function refuseLivingAgent(desk: Desk): void {
  const path = `${requiredText(desk, 'run-dir', 'DIR')}/agent.lock`
  if (!existsSync(path)) return
  const fd = openSync(path, 'a')
  try {
    if (desk.loadNative().lock(fd, LOCK_EX, 0) !== 0)
      throw new ToolFault(
        `an agent runs here (it holds ${path}); nothing was changed. Stop it first: it would ` +
          'make again what is removed',
      )
  } finally {
    closeSync(fd)
  }
}

/** The list first, so that no pod comes any more; then the way to other nodes; then files. */
export function removeNode(desk: Desk): readonly Deed[] {
  const native = desk.loadNative()
  return [
    ...removeConflist(requiredText(desk, 'conflist', 'FILE')),
    ...removeFabric(native),
    ...removePolicies(native),
    ...removeCluster(native, requiredText(desk, 'data-dir', 'DIR')),
    ...removeFiles(desk),
  ]
}

function removeConflist(path: string): readonly Deed[] {
  if (!existsSync(path) || !isOurs(readFileSync(path, 'utf8'))) return []
  rmSync(path)
  syncFolder(dirname(path))
  return [{ path, did: 'removed' }]
}

/** Of our name and with our plugin first: a list of somebody's own has another name. */
function isOurs(text: string): boolean {
  try {
    const list = JSON.parse(text) as { name?: unknown; plugins?: readonly { type?: unknown }[] }
    return list.name === 'tulle' && list.plugins?.[0]?.type === 'tulle'
  } catch {
    return false
  }
}

function removeFabric(native: Native): readonly Deed[] {
  const fabric = new FabricSocket(native)
  try {
    const devices = fabric.deviceNames()
    const { size } = fabric.observe([]).entries
    if (devices.length === 0 && size === 0) return []
    const refusals = fabric.dropAll()
    if (refusals.length > 0) throw new ToolFault(refusals.map(({ text }) => text).join('; '))
    return [
      ...devices.map((name) => ({ path: name, did: 'tunnel device removed' })),
      { path: 'routes to other nodes', did: 'removed' },
    ]
  } finally {
    fabric.close()
  }
}

/** Of pods that still run, every one is open from here on. */
function removePolicies(native: Native): readonly Deed[] {
  const filter = new FilterSocket(native)
  try {
    return [
      { table: policyTable, did: 'removed: no network policy holds any more' },
      { table: nodePortTable, did: 'removed: no node port is guarded any more' },
    ].flatMap(({ table, did }) => {
      if (filter.rules(table).length === 0) return []
      const path = `nftables ${table.family} ${table.table}`
      const refusal = filter.commitParts([ensureTable(table), deleteTable(table)])
      if (refusal) throw refusedBatch(`delete ${path}`, refusal)
      return [{ path, did }]
    })
  } finally {
    filter.close()
  }
}

function removeCluster(native: Native, dataDir: string): readonly Deed[] {
  if (!existsSync(`${dataDir}/tulle.db`)) return []
  const filter = new FilterSocket(native)
  const hasChanged = LeaseStore.use(dataDir, native.lock, (store) => {
    store.cluster.drop('agent')
    const left = store.cluster.all().flatMap((text): Prefix[] => {
      const prefix = parsePrefix(text)
      return prefix ? [prefix] : []
    })
    const changed = setCluster(filter, left, (fill) => fill(allHoldings(store)))
    if (store.isEmpty() && left.length === 0) filter.dropEmptyTables()
    return changed
  })
  filter.close()
  return hasChanged ? [{ path: 'nftables: what is inside the cluster', did: 'removed' }] : []
}

const agentsOwn = ['agent.sock', 'cni.sock', 'agent.lock', '.rehearsal']

function removeFiles(desk: Desk): readonly Deed[] {
  const runDir = requiredText(desk, 'run-dir', 'DIR')
  const known = knownNodesPath(requiredText(desk, 'state-dir', 'DIR'))
  const files = [known, ...agentsOwn.map((name) => `${runDir}/${name}`)].filter(existsSync)
  for (const path of files) rmSync(path, { recursive: true })
  return files.map((path) => ({ path, did: 'removed' }))
}
