import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { type Address, formatAddress, offsetAddress } from '../base/address.ts'
import type { Lease } from '../store/book.ts'
import { LOCK_EX, makeFolder } from '../store/database.ts'
import { replaceText, syncFolder } from '../store/durable.ts'
import type { LeaseStore } from '../store/lease-store.ts'
import { type Command, type Desk, jsonOption, requiredText, ToolFault } from './command.ts'
import { dataDirOption, isThisLife, withStore } from './leases.ts'

const hostLocalDefault = '/var/lib/cni/networks'

export const ipamExport: Command = {
  name: 'ipam export',
  summary: "Write a network's leases as files of the reference host-local",
  about: [
    'For whoever wants to go back: the reference host-local then gives no held address',
    "away, and its DEL frees what was exported. Pods keep running. Change the network's",
    'list to the reference plugins right after this: what Tulle leases later is not there.',
  ],
  options: {
    network: { type: 'string', value: 'NAME', text: 'the network, as its list names it' },
    'data-dir': dataDirOption,
    to: {
      type: 'string',
      value: 'DIR',
      default: hostLocalDefault,
      text: "host-local's dataDir; the files go into DIR/NAME",
    },
    json: jsonOption,
  },
  run: (desk) => {
    const network = requiredText(desk, 'network', 'NAME')
    const folder = `${requiredText(desk, 'to', 'DIR')}/${network}`
    return withStore(desk, (store) => {
      const leases = store.leases().filter((lease) => lease.network === network)
      refuseUnusable(desk, store, network)
      const files = [...leaseFiles(leases), ...reservedFiles(store, network, leases)]
      const written = writeFiles(desk, folder, files)
      if (isAdoptedFrom(desk, store, folder)) for (const lease of leases) store.adopt(lease, lease)
      return report(desk, { folder, held: leases.length, written })
    })
  },
}

/**
 * Whether the plugin takes leases over from this folder. It then has to know that these are kept
 * there as well: a DEL by either side frees both. Of a folder where it does not look it would find
 * them gone, and give living pods' addresses away.
 */
const isAdoptedFrom = ({ values }: Desk, store: LeaseStore, folder: string): boolean =>
  store.meta(`adopted ${folder}`) !== undefined ||
  (values['data-dir'] === dataDirOption.default && values.to === hostLocalDefault)

function refuseUnusable(desk: Desk, store: LeaseStore, network: string): void {
  if (!isThisLife(desk, store))
    throw new ToolFault(
      'the store is of an earlier boot, or of another network namespace than this one: none of ' +
        'its pods lives, so there is nothing to export; run this where the plugin runs',
    )
  const known = [...new Set(store.leases().map((lease) => lease.network))]
  if (!known.includes(network))
    throw new ToolFault(
      `no address of network ${network} is held; ` +
        (known.length === 0 ? 'nor of any other' : `there is ${known.join(', ')}`),
    )
}

type File = { readonly name: string; readonly text: string }

/** "container CR LF ifname", without an end of line; a lease of before 0.8 has its id alone. */
const leaseFiles = (leases: readonly Lease[]): readonly File[] =>
  leases.map(({ address, container, ifname }) => ({
    name: formatAddress(address),
    text: ifname === '' ? container : `${container}\r\n${ifname}`,
  }))

/**
 * last_reserved_ip.<n>: where host-local goes on searching in the n-th range set. A pod has one
 * address of each set, in the order of the sets.
 */
function reservedFiles(
  store: LeaseStore,
  network: string,
  leases: readonly Lease[],
): readonly File[] {
  const latest = new Map<number, Address>()
  for (const lease of leases) {
    const cursor = store.book(network).cursorOf(lease.pool)
    const set = rangeSetOf(store, lease)
    latest.set(set, cursor ? offsetAddress(cursor, -1n) : lease.address)
  }
  return [...latest].map(([set, address]) => ({
    name: `last_reserved_ip.${set}`,
    text: formatAddress(address),
  }))
}

function rangeSetOf(store: LeaseStore, lease: Lease): number {
  const ips = store.attachment(lease)?.ips ?? []
  return Math.max(
    0,
    ips.findIndex(({ address }) => address.split('/')[0] === formatAddress(lease.address)),
  )
}

/** Under host-local's own lock; the names of those that were not so already. */
function writeFiles(desk: Desk, folder: string, files: readonly File[]): readonly string[] {
  makeFolder(folder)
  const lockFd = openSync(`${folder}/lock`, 'a', 0o600)
  try {
    if (desk.loadNative().lock(lockFd, LOCK_EX, lockWaitMilliseconds) !== 0)
      throw new ToolFault(`${folder}/lock is held by somebody else; try again`)
    refuseOthers(folder, files)
    const missing = files.filter(({ name, text }) => readText(`${folder}/${name}`) !== text)
    for (const { name, text } of missing) replaceText(`${folder}/${name}`, 0o600, text)
    syncFolder(folder)
    return missing.map(({ name }) => name)
  } finally {
    closeSync(lockFd)
  }
}
const lockWaitMilliseconds = 10_000

const readText = (path: string): string | undefined =>
  existsSync(path) ? readFileSync(path, 'utf8') : undefined

/** A file that says that somebody else holds the address is not written over. */
function refuseOthers(folder: string, files: readonly File[]): void {
  const taken = files.filter(({ name, text }) => {
    const there = readText(`${folder}/${name}`)
    const isLease = !name.startsWith('last_reserved_ip.')
    return isLease && there !== undefined && wordsOf(there) !== wordsOf(text)
  })
  if (taken.length > 0)
    throw new ToolFault(
      `${folder}: ${taken.map(({ name }) => name).join(', ')} belong to other containers there; ` +
        'nothing was written. Look which of the two pods lives, and remove the other',
    )
}

/** host-local reads its files with blanks around them taken away. */
const wordsOf = (text: string): string => text.trim().split(/\s+/).join(' ')

type Exported = {
  readonly folder: string
  readonly held: number
  readonly written: readonly string[]
}

function report({ values, print }: Desk, exported: Exported): number {
  const { folder, held, written } = exported
  if (values.json === true) print(`${JSON.stringify(exported, undefined, 2)}\n`)
  else if (written.length === 0) print(`${folder}: ${held} leases, all there already\n`)
  else print(`${folder}: ${held} leases; wrote ${written.join(', ')}\n`)
  return 0
}
