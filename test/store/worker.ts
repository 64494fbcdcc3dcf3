import { writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { formatAddress, parseAddress } from '../../src/base/address.ts'
import { allocate } from '../../src/ipam/allocate.ts'
import { listedAt, parseRanges, type RangeSet } from '../../src/ipam/ranges.ts'
import { loadNative } from '../../src/kernel/native.ts'
import { LeaseStore } from '../../src/store/lease-store.ts'
import { attachmentOf } from '../datapath/attachments.ts'

// A process of its own that works on a store: node worker.ts <what> <folder> <name> <count>.

const [what = '', folder = '', name = '', count = '1'] = process.argv.slice(2)
const { lock } = loadNative()
const say = (text: string): void => void writeSync(1, `${text}\n`)
const parsed = parseRanges([[{ subnet: '10.9.0.0/24' }]], listedAt('ranges'))
const sets: readonly RangeSet[] = 'sets' in parsed ? parsed.sets : []

function lease(store: LeaseStore, container: string): string {
  const outcome = allocate(sets, [], store.book('net'))
  if ('fault' in outcome) throw new Error(JSON.stringify(outcome.fault.kind))
  const id = { network: 'net', container, ifname: 'eth0' }
  store.hold(id, outcome.leases)
  store.setCursors('net', outcome.cursors)
  store.putAttachment(attachmentOf('routed', 'v4', id))
  return outcome.leases.map(({ address }) => formatAddress(address)).join(' ')
}

/** Leases an address a turn, and gives every third one back; says what it holds at the end. */
function hammer(): void {
  const held = new Map<string, string>()
  for (let turn = 1; turn <= Number(count); turn++) {
    const container = `${name}-${turn}`
    held.set(
      container,
      LeaseStore.use(folder, lock, (store) => lease(store, container)),
    )
    if (turn % 3 !== 0) continue
    LeaseStore.use(folder, lock, (store) =>
      store.release({ network: 'net', container, ifname: 'eth0' }),
    )
    held.delete(container)
  }
  say(JSON.stringify([...held.values()]))
}

/** Commits one transaction after another until it is killed, and says the number of each. */
function loop(): void {
  for (;;) say(String(LeaseStore.use(folder, lock, commitOne)))
}

/** What one transaction of `loop` writes; all of it carries the same number. */
function commitOne(store: LeaseStore): number {
  const number = Number(store.meta('number') ?? 0) + 1
  const id = { network: 'net', container: `c${number}`, ifname: 'eth0' }
  store.setMeta('number', String(number))
  store.putAttachment(attachmentOf('routed', 'dual', id))
  const leases = [`10.${number >> 8}.${number & 255}.1`, `fd00::${number.toString(16)}`].flatMap(
    (text) => {
      const address = parseAddress(text)
      return address ? [{ address, pool: 'p-q' }] : []
    },
  )
  store.hold(id, leases)
  return number
}

/** Holds the lock until it is killed. */
async function sit(): Promise<void> {
  LeaseStore.open(folder, lock)
  say('sitting')
  await sleep(60_000)
}

const jobs: Readonly<Record<string, () => void | Promise<void>>> = {
  hammer,
  loop,
  sit,
  once: () => say(`committed ${LeaseStore.use(folder, lock, commitOne)}`),
}
await jobs[what]?.()
