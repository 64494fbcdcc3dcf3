import { formatAddress, parseAddress } from '../base/address.ts'
import type { Lease } from '../store/book.ts'
import { type Command, type Desk, jsonOption, textOf } from './command.ts'
import { dataDirOption, isThisLife, withStore } from './leases.ts'
import { formatColumns, formatTable } from './table.ts'

export const ipamList: Command = {
  name: 'ipam list',
  summary: 'Show which pod holds which address',
  about: [],
  options: {
    'data-dir': dataDirOption,
    network: { type: 'string', value: 'NAME', text: 'of this network alone' },
    json: jsonOption,
  },
  run: (desk) => {
    const wanted = textOf(desk.values, 'network')
    const { all, isCurrent } = withStore(desk, (store) => ({
      all: store.leases(),
      isCurrent: isThisLife(desk, store),
    }))
    const leases = all.filter(({ network }) => wanted === undefined || network === wanted)
    if (desk.values.json === true) printJson(desk, leases, isCurrent)
    else printTables(desk, leases, isCurrent)
    return 0
  },
}

type Pool = {
  readonly network: string
  readonly pool: string
  readonly held: number
  /** Addresses of the range, as a decimal: a /64 has more than a double counts. */
  readonly addresses: string | undefined
}

/** How full each range is, in the order of the leases. */
function poolsOf(leases: readonly Lease[]): readonly Pool[] {
  const groups = Map.groupBy(leases, ({ network, pool }) => JSON.stringify([network, pool]))
  return [...groups.values()].flatMap((group) => {
    const [first] = group
    if (!first) return []
    const { network, pool } = first
    return [{ network, pool, held: group.length, addresses: sizeOf(pool) }]
  })
}

function sizeOf(pool: string): string | undefined {
  const [first, last] = pool.split('-').map((text) => parseAddress(text))
  return first && last && String(last.value - first.value + 1n)
}

function printJson({ print }: Desk, leases: readonly Lease[], isCurrent: boolean): void {
  const shown = leases.map((lease) => ({ ...lease, address: formatAddress(lease.address) }))
  print(`${JSON.stringify({ isCurrent, leases: shown, pools: poolsOf(leases) }, undefined, 2)}\n`)
}

function printTables(desk: Desk, leases: readonly Lease[], isCurrent: boolean): void {
  if (leases.length === 0) desk.print('no address is held\n')
  else {
    const rows = leases.map(({ network, address, container, ifname, pool }) => [
      network,
      formatAddress(address),
      container,
      ifname === '' ? '-' : ifname,
      pool,
    ])
    desk.print(formatTable(['NETWORK', 'ADDRESS', 'CONTAINER', 'IFNAME', 'POOL'], rows, desk))
    desk.print('\n')
    desk.print(
      formatColumns(
        poolsOf(leases).map(({ network, pool, held, addresses }) => [
          network,
          pool,
          addresses === undefined ? `${held} held` : `${held} of ${addresses} held`,
        ]),
      ),
    )
  }
  if (!isCurrent) desk.print(otherLife)
}

const otherLife =
  '\nThe store is of an earlier boot, or of another network namespace than this one; ' +
  'after a boot\nthe next pod start gives all of it back.\n'
