import { readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  add,
  added,
  addressesOf,
  check,
  deleted,
  type Mode,
  netconf,
  type Result,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { killedAt, wasKilled } from '../support/faults.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import { leases, storeFile } from '../support/leases.ts'
import { watchResidue } from '../support/residue.ts'

t.setTimeout(600_000)

const network = (host: Host, mode: Mode): Json =>
  netconf(host, { mode, families: 'dual', keys: { ipMasq: true } })

type Living = Readonly<{ pod: Pod; result: Result }>

/**
 * Three pods live while the store is damaged. The next two get addresses that nobody has, all five
 * can be deleted, and then nothing is left.
 */
function expectNoDuplicate(t: Test, host: Host, mode: Mode, why: string, damage: () => void): void {
  const conf = network(host, mode)
  const pods = Array.from({ length: 5 }, () => host.pod())
  const left = watchResidue(
    host,
    pods.map(({ netns }) => netns),
  )
  const attached = (pod: Pod): Living => ({ pod, result: added(pod, conf) })
  const before = pods.slice(0, 3).map(attached)
  damage()
  const after = pods.slice(3).flatMap((pod) => {
    const ran = add(pod, conf)
    t.equal(ran.code, 0, `${why}: the next ADD: ${ran.stdout}`)
    return ran.code === 0 ? [{ pod, result: JSON.parse(ran.stdout) as Result }] : []
  })
  const all = [...before, ...after].flatMap(({ result }) => addressesOf(result))
  t.equal(new Set(all).size, 10, `${why}: no address twice`)
  t.same([...leases(host.dataDir)].sort(), [...all].sort(), `${why}: every lease is known again`)
  for (const { pod, result } of after) t.equal(check(pod, conf, result).code, 0, `${why}: CHECK`)
  for (const pod of pods) deleted(pod, conf)
  t.same(left(), [], `${why}: after five DELs nothing is left`)
}

/** Every page boundary, its neighbours, and the header's own bytes. */
function cuts(size: number): readonly number[] {
  const pages = Array.from({ length: Math.floor(size / 4096) }, (_, page) => page * 4096)
  const near = pages.flatMap((at) => [at - 1, at, at + 1, at + 100, at + 2048])
  const header = [0, 1, 15, 16, 27, 28, 99, 100, 101, 511, 512]
  return [...new Set([...header, ...near])].filter((at) => at >= 0 && at < size)
}

let size = 0
await withHost((host) => {
  for (const _ of [1, 2, 3]) added(host.pod(), network(host, 'routed'))
  size = statSync(join(host.dataDir, storeFile)).size
})

t.test('a store that is cut off', async (t) => {
  t.ok(size > 4096, `${size} bytes`)
  for (const at of cuts(size)) {
    await withHost((host) => {
      const cut = (): void => truncateSync(join(host.dataDir, storeFile), at)
      expectNoDuplicate(t, host, 'routed', `cut to ${at} bytes`, cut)
    })
  }
})

type Damage = Readonly<{ why: string; damage: (host: Host, file: string) => void }>
const garbage = Buffer.alloc(8192, 'no database ')

const damages: readonly Damage[] = [
  { why: 'removed', damage: (_, file) => rmSync(file) },
  { why: 'its directory removed', damage: (host) => rmSync(host.dataDir, { recursive: true }) },
  { why: 'of 0 bytes', damage: (_, file) => truncateSync(file, 0) },
  { why: 'full of garbage', damage: (_, file) => writeFileSync(file, garbage) },
  { why: 'full of zeros', damage: (_, file) => writeFileSync(file, Buffer.alloc(size)) },
  {
    why: 'with a header that is garbage',
    damage: (_, file) =>
      writeFileSync(
        file,
        Buffer.concat([garbage.subarray(0, 100), readFileSync(file).subarray(100)]),
      ),
  },
  {
    why: 'with a second page that is garbage',
    damage: (_, file) => {
      const bytes = readFileSync(file)
      garbage.copy(bytes, 4096, 0, 4096)
      writeFileSync(file, bytes)
    },
  },
  {
    why: 'with a last page that is zeros',
    damage: (_, file) => writeFileSync(file, readFileSync(file).fill(0, size - 4096)),
  },
  {
    why: 'with a journal of garbage',
    damage: (_host, file) => writeFileSync(`${file}-journal`, garbage),
  },
  { why: 'with a journal of 0 bytes', damage: (_, file) => writeFileSync(`${file}-journal`, '') },
  {
    why: 'without its lock file',
    damage: (host) => rmSync(join(host.dataDir, 'tulle.lock')),
  },
  {
    why: 'of another program',
    damage: (_, file) => writeFileSync(file, '#!/bin/sh\nexit 0\n'),
  },
]

for (const mode of ['routed', 'bridge'] as const) {
  t.test(`${mode}: a store that is damaged`, async (t) => {
    for (const { why, damage } of damages) {
      await withHost((host) =>
        expectNoDuplicate(t, host, mode, why, () => damage(host, join(host.dataDir, storeFile))),
      )
    }
  })
}

t.test('a damaged store is kept for a person to look at', (t) =>
  withHost((host) => {
    added(host.pod(), network(host, 'routed'))
    writeFileSync(join(host.dataDir, storeFile), garbage)
    added(host.pod(), network(host, 'routed'))
    const kept = host.netns.exec(['/usr/bin/ls', host.dataDir]).stdout
    t.match(kept, 'tulle.db.corrupt-')
  }),
)

type Files = Readonly<{ store: Buffer; journal: Buffer }>
type Cut = Readonly<{ why: string; cut: (old: Buffer, now: Files) => Files }>
const parts = [0, 1, 2, 3, 4, 5, 6, 7, 8] as const
const upTo = (bytes: Buffer, part: number): Buffer =>
  bytes.subarray(0, Math.floor((bytes.length * part) / 8))

/** Power cuts in a commit: in the journal, which comes first, or in the store, which comes then. */
const powerCuts: readonly Cut[] = [
  ...parts.map((part) => ({
    why: `${part}/8 of the journal`,
    cut: (old: Buffer, { journal }: Files) => ({ store: old, journal: upTo(journal, part) }),
  })),
  ...parts.map((part) => ({
    why: `${part}/8 of the store`,
    cut: (old: Buffer, { store, journal }: Files) => {
      const written = upTo(store, part)
      return { store: Buffer.concat([written, old.subarray(written.length)]), journal }
    },
  })),
]

t.test('a power cut in the middle of a commit', async (t) => {
  for (const { why, cut } of powerCuts) {
    await withHost((host) => {
      const [file, conf] = [join(host.dataDir, storeFile), network(host, 'routed')]
      const dying = host.pod()
      expectNoDuplicate(t, host, 'routed', why, () => {
        const old = readFileSync(file)
        // the store is written, the journal complete and not yet given up
        const ran = add(dying, conf, killedAt({ name: 'ftruncate', when: 1 }))
        t.ok(wasKilled(ran), 'died in its commit')
        const now = { store: readFileSync(file), journal: readFileSync(`${file}-journal`) }
        t.ok(now.journal.length > 512, `a journal of ${now.journal.length} bytes`)
        const left = cut(old, now)
        writeFileSync(file, left.store)
        writeFileSync(`${file}-journal`, left.journal)
      })
    })
  }
})
