import { addressBytes, addressKey, parseAddress } from '../../src/base/address.ts'
import { policyTable } from '../../src/datapath/policy-table.ts'
import type { Native } from '../../src/kernel/native.ts'
import { type ReadTable, readTable } from '../../src/kernel/policy-reader.ts'
import { PolicySocket } from '../../src/kernel/policy-socket.ts'
import type { NodeFacts } from '../../src/policy/ends.ts'
import { livingPods } from '../../src/policy/matrix.ts'
import type { Cluster } from '../../src/policy/model.ts'
import type { Element } from '../../src/wire/nft/set.ts'
import { programOf } from '../policy/states.ts'
import { native, type Room } from './sockets.ts'

export const nodeName = 'n1'

/** The native part as a process in the room would have it. */
export const nativeIn = ({ fd }: Room): Native => ({
  ...native,
  socketIn: (netnsFd, protocol) => native.socketIn(netnsFd === -1 ? fd : netnsFd, protocol),
})

export const addressOf = (text: string) => {
  const address = parseAddress(text)
  if (!address) throw new Error(`Cannot read ${text}`)
  return address
}

/** Every pod on this one node. */
export const onOneNode = (cluster: Cluster): Cluster => ({
  ...cluster,
  pods: cluster.pods.map((pod) => ({ ...pod, node: nodeName })),
})

export const localAddresses = ['192.0.2.1', '2001:db8:ff::1'].map(addressOf)

export const factsOf = (cluster: Cluster): NodeFacts => ({
  cluster,
  node: nodeName,
  localAddresses,
  policed: podsHere(cluster).flatMap(({ addresses }) => addresses),
})

const podsHere = (cluster: Cluster) =>
  livingPods(cluster).filter(({ node, isHostNetwork }) => node === nodeName && !isHostNetwork)

/** Compiled, loaded, and read back. */
export function loadAndRead(room: Room, cluster: Cluster, over = nativeIn(room)): ReadTable {
  loadInto(over, cluster)
  return reread(room)
}

export function loadInto(over: Native, cluster: Cluster): void {
  const policed = podsHere(cluster).flatMap(({ addresses, name }) =>
    addresses.map(
      (address): Element => ({
        ...policyTable,
        set: `policed${address.family}`,
        key: addressBytes(address),
        comment: `net/${name}/eth0`,
      }),
    ),
  )
  const socket = new PolicySocket(over)
  try {
    socket.load(programOf(cluster, nodeName), policed)
  } finally {
    socket.close()
  }
}

export function reread({ fd }: Room): ReadTable {
  const table = readTable(native, policyTable, fd)
  if (!table) throw new Error('Cannot find the table that was just loaded')
  return table
}

export const localKeys = new Set(localAddresses.map(addressKey))
