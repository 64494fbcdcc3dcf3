import { deepStrictEqual } from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'tap'
import { decodeText, u16At, u32At } from '../../src/base/bytes.ts'
import { faultsOf } from '../../src/cli/verify/shape.ts'
import type { Native } from '../../src/kernel/native.ts'
import { compareWithKernel } from '../../src/policy/kernel-differences.ts'
import {
  decodeListedChain,
  decodeListedElements,
  decodeListedRule,
  decodeListedSet,
  type ListedElement,
  type ListedRule,
  type ListedTable,
} from '../../src/wire/nft/listed-table.ts'
import { readNft } from '../../src/wire/nft/message.ts'
import { holds } from '../base/law.ts'
import { clusterOf } from '../policy/objects.ts'
import { pods, policies, spaces } from '../policy/random.ts'
import { addressOf, factsOf, loadAndRead, nativeIn } from './loaded-policies.ts'
import { withRoom } from './sockets.ts'

/** What a batch says, read by the decoders of listings: messages have the form of notices. */
class Written {
  chains: ListedTable['chains'][number][] = []
  rules: ListedRule[] = []
  sets: ListedTable['sets'][number][] = []
  readonly elements = new Map<string, ListedElement[]>()

  /** A native part that sends, and reads what it sends. */
  over(native: Native): Native {
    return {
      ...native,
      send: (fd, bytes, length) => {
        for (let at = 0; at < length; ) {
          const size = u32At(bytes, at)
          this.#read(u16At(bytes, at + 4) & 0xff, bytes.subarray(at + 16, at + size))
          at += (size + 3) & ~3
        }
        return native.send(fd, bytes, length)
      },
    }
  }

  #read(message: number, body: Uint8Array): void {
    if (message === 3) this.chains.push(decodeListedChain(body))
    if (message === 6) this.rules.push(decodeListedRule(body))
    if (message === 9) this.sets.push(decodeListedSet(body))
    if (message !== 12) return
    const set = decodeText(readNft(body).get(2) ?? new Uint8Array())
    this.elements.set(set, [...(this.elements.get(set) ?? []), ...decodeListedElements(body)])
  }
}

const sorted = <T>(all: readonly T[]): readonly string[] =>
  all
    .map((one) =>
      JSON.stringify(one, (_, value: unknown) => {
        if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
        return typeof value === 'bigint' ? undefined : value
      }),
    )
    .sort()
const byChain = (rules: readonly ListedRule[]) =>
  sorted([...Map.groupBy(rules, ({ chain }) => chain)])
const rows = ({ sets }: ListedTable) =>
  sorted(sets.map(({ name, elements }) => [name, sorted(elements)]))

const bare = (set: ListedTable['sets'][number]) => ({ ...set, elements: [] })

const own = ['192.168.0.1', 'fe80::1'].map(addressOf)
const extent = { differencesMax: 20, agreedMax: 0 }

test(
  'law: a table is listed as it was written, and does what the policies say',
  { timeout: 600_000 },
  (t) =>
    withRoom(async (room) => {
      let flows = 0
      await holds(
        t,
        fc.property(pods, policies, (all, some) => {
          const cluster = clusterOf(...spaces, ...all, ...some)
          const written = new Written()
          const read = loadAndRead(room, cluster, written.over(nativeIn(room)))
          const sets = written.sets.map((set) => ({
            ...set,
            elements: written.elements.get(set.name) ?? [],
          }))
          deepStrictEqual(sorted(read.chains), sorted(written.chains))
          deepStrictEqual(byChain(read.rules), byChain(written.rules))
          deepStrictEqual(sorted(read.sets.map(bare)), sorted(written.sets.map(bare)))
          deepStrictEqual(rows(read), rows({ ...read, sets }))
          deepStrictEqual(faultsOf(read), [])
          const found = compareWithKernel(
            { ...factsOf(cluster), localAddresses: own },
            read,
            extent,
          )
          deepStrictEqual(found.unknown, [])
          deepStrictEqual(found.differences, [])
          flows += found.flows
        }),
        60,
      )
      t.ok(flows > 10_000, `${flows} kinds of flows`)
    }),
)
