import { type Address, parseAddress } from '../../base/address.ts'
import type { Lease } from '../../store/book.ts'
import { type Check, type Examined, error, listed, ok, unknown, warning } from './check.ts'

export const storeLife: Check = ({ store }) => {
  if (store === null) return [ok('leases', 'no network of Tulle has leased here')]
  if ('unseen' in store) return [unknown('leases', store.unseen)]
  switch (store.life) {
    case 'this':
      return [ok('leases', `${store.leases.length} held (${store.dataDir})`)]
    case 'earlier-boot':
      return store.leases.length === 0
        ? [ok('leases', 'none held')]
        : [
            warning('leases', {
              found: `${store.leases.length} leases are of an earlier boot`,
              meaning: 'their pods are gone; nobody else gets the addresses meanwhile',
              remedy: 'the next pod\'s start gives them back; "tulle ipam gc" does it now',
            }),
          ]
    default:
      return [
        unknown(
          'leases',
          'the store is of another network namespace than this: run it on the host',
        ),
      ]
  }
}

const nearlyFull = 0.9

export const pools: Check = ({ store }) => {
  if (store === null || 'unseen' in store) return []
  const groups = Map.groupBy(store.leases, ({ network, pool }) => `${network} ${pool}`)
  return [...groups].flatMap(([name, leases]) => poolOf(name, leases, store.gateways) ?? [])
}

function poolOf(
  name: string,
  leases: readonly Lease[],
  gateways: readonly Address[],
): Examined | undefined {
  const [first, last] = (leases[0]?.pool ?? '').split('-').map((text) => parseAddress(text))
  if (!first || !last) return undefined
  // A pool never gives its gateway away.
  const kept = gateways.filter(
    ({ family, value }) => family === first.family && first.value <= value && value <= last.value,
  ).length
  const size = last.value - first.value + 1n - BigInt(kept)
  const found = `${name}: ${leases.length} of ${size} addresses are held`
  if (leases.length < Number(size) * nearlyFull) return ok('pool', found)
  const isFull = leases.length >= Number(size)
  const trouble = {
    found,
    meaning: isFull ? 'no more pod starts on this node' : 'soon no more pod starts on this node',
    remedy: '"tulle ipam gc" gives back what gone pods hold; else give the node a larger podCIDR',
  }
  return isFull ? error('pool', trouble) : warning('pool', trouble)
}

export const gonePods: Check = ({ store }) => {
  if (store === null || 'unseen' in store || store.life !== 'this') return []
  const { remains } = store
  if (remains.length === 0) return [ok('gone-pods', 'every pod on record has its link')]
  return [
    warning('gone-pods', {
      found: `${remains.length} interfaces on record have no link: ${listed(
        remains.map(({ container, ifname }) => `${container} ${ifname}`),
        3,
      )}`,
      meaning: 'pods that start at this moment, or that are gone and hold their addresses still',
      remedy: '"tulle ipam gc" looks twice and gives back what is gone',
    }),
  ]
}
