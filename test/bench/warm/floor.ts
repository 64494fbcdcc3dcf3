import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { makeNetns } from '../../support/netns.ts'
import type { Verb } from '../job.ts'
import { makeNode, prepareFloor } from '../node.ts'
import type { CaseResult, Row } from '../result.ts'
import { summarise } from '../statistics.ts'
import { compileFloorBurst } from '../toolchain.ts'
import { attachmentOf, type FloorCase, type Outfit, outfitWords } from './cases.ts'

/** Keys of what floor-burst.c prints, in milliseconds. */
type Figure =
  | 'addThreads'
  | 'addOne'
  | 'delThreadsUnseen'
  | 'delThreads'
  | 'delGroupUnseen'
  | 'delGroup'

/** A deletion is done for all who look long before its caller hears of it: RCU's grace period. */
const figures: readonly {
  readonly figure: Figure
  readonly verb: Verb
  readonly ofOne: string | undefined
  readonly ofMany: string
}[] = [
  { figure: 'addOne', verb: 'ADD', ofOne: '', ofMany: ', one thread' },
  { figure: 'addThreads', verb: 'ADD', ofOne: undefined, ofMany: ', a thread each' },
  {
    figure: 'delThreadsUnseen',
    verb: 'DEL',
    ofOne: ', until unseen',
    ofMany: ', a thread each, until unseen',
  },
  {
    figure: 'delThreads',
    verb: 'DEL',
    ofOne: ', until the call returns',
    ofMany: ', a thread each, until the calls return',
  },
  {
    figure: 'delGroupUnseen',
    verb: 'DEL',
    ofOne: undefined,
    ofMany: ', one request for their group, until unseen',
  },
  {
    figure: 'delGroup',
    verb: 'DEL',
    ofOne: undefined,
    ofMany: ', one request for their group, until the call returns',
  },
]

const outfits = ['bridge-masq', 'routed-masq'] as const

/** Each round in nodes of its own. A refusal of the kernel is thrown in its words. */
export function measureFloors(
  planned: FloorCase,
  workDirectory: string,
  tell: (round: number) => void,
): CaseResult {
  const folder = mkdtempSync(join(workDirectory, `${planned.id}-`))
  try {
    const program = compileFloorBurst(folder)
    const places = outfits.flatMap((outfit) => planned.bursts.map((burst) => ({ outfit, burst })))
    const seen = places.map((): Readonly<Record<Figure, number>>[] => [])
    for (let round = 0; round < planned.rounds; round++) {
      tell(round)
      for (const [at, { outfit, burst }] of places.entries())
        seen[at]?.push(measureOnce(program, outfit, burst))
    }
    const { id, title, rounds } = planned
    const rows = places.flatMap(({ outfit, burst }, at) => rowsOf(outfit, burst, seen[at] ?? []))
    return { id, title, rounds, peers: ['floor'], rows, faults: [] }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function measureOnce(program: string, outfit: Outfit, burst: number) {
  const outside = makeNetns('bench-outside')
  const attachment = attachmentOf(outfit)
  const { wiring, masquerade, families } = attachment
  try {
    const node = makeNode(outside, 0)
    try {
      prepareFloor(node, attachment)
      const done = node.exec([program, String(burst), wiring, masquerade, families])
      if (done.code !== 0) throw new Error(`Cannot measure the floor: ${done.stderr.trim()}`)
      return JSON.parse(done.stdout) as Record<Figure, number>
    } finally {
      node.close()
    }
  } finally {
    outside.close()
  }
}

/** A line for each figure that tells something of so many. */
export const rowsOf = (
  outfit: Outfit,
  burst: number,
  seen: readonly Readonly<Record<Figure, number>>[],
): readonly Row[] =>
  figures.flatMap(({ figure, verb, ofOne, ofMany }) => {
    const words = burst === 1 ? ofOne : ofMany
    if (words === undefined) return []
    const samples = seen.map((one) => one[figure])
    const time = summarise(samples)
    return [
      {
        ...{ peer: 'floor', verb, variant: `${outfitWords[outfit]}, ${burst}${words}` },
        ...{ calls: burst * samples.length, failed: 0, samples, cpuSamples: [], rssKiB: 0 },
        ...(time === undefined ? {} : { time }),
      },
    ]
  })
