import { test } from 'tap'
import { breachesOf, drawMap } from '../../scripts/rooms.mjs'
import { roomOf } from '../../scripts/rooms-list.mjs'

type Files = Readonly<Record<string, string>>

type Row = Readonly<{
  why: string
  /** The first of these is the file at fault. */
  files: Files
  also?: Files
  law: string
  line?: number
  times?: number
}>

/** Small, and without a breach: a main, a room of each layer, a test. */
const sound: Files = {
  'src/main.ts': `import { plugin } from './plugin/main.ts'\nplugin()`,
  'src/plugin/main.ts': `import { open } from '../kernel/open.ts'
export const plugin = () => open()`,
  'src/kernel/open.ts': `import { spawnSync } from 'node:child_process'
import { encode } from '../wire/rtnl/link.ts'
export const open = () => [spawnSync('true'), encode(), Date.now(), process.dlopen]`,
  'src/kernel/native/tulle.c': 'int main;',
  'src/wire/rtnl/link.ts': `import { message } from '../netlink/message.ts'
export const encode = () => message()`,
  'src/wire/netlink/message.ts': `import type { Buffer } from 'node:buffer'
import { zero } from '../../base/zero.ts'
export const message = (): Buffer | number => zero`,
  'src/base/zero.ts': 'export const zero = 0',
  'src/ipam/pool.ts': `export const pool = (process: number) => ({ performance: process })`,
  'src/README.md': 'the map',
  'test/ipam/pool.test.ts': `import { pool } from '../../src/ipam/pool.ts'\npool(1)`,
}

const breaches = (files: Files) => breachesOf(new Map(Object.entries({ ...sound, ...files })))

/** A file that the test entry below leads to, so that only the law in question is broken. */
const reached = (file: string, text: string): Files => ({
  [file]: text,
  'test/entry.test.ts': `import '../${file}'`,
})

test('rooms: a sound tree has no breach', async (t) => {
  t.same(breaches({}), [])
})

const downwards = 'imports go downwards'
const noNode = 'a pure room imports no node: value'
const noPlatform = 'a pure room has no clock, chance or platform'

for (const row of [
  {
    why: 'an import upwards',
    files: reached('src/base/up.ts', `import '../wire/rtnl/link.ts'`),
    law: downwards,
  },
  {
    why: 'an import between siblings',
    files: reached('src/ipam/side.ts', `\nimport { x } from '../cni/x.ts'`),
    also: { 'src/cni/x.ts': 'export const x = 1' },
    law: downwards,
    line: 2,
  },
  {
    why: 'a type import upwards, for types couple as well',
    files: reached('src/base/up.ts', `import type { encode } from '../wire/rtnl/link.ts'`),
    law: downwards,
  },
  {
    why: 'a type import upwards in the middle of a type',
    files: reached('src/base/up.ts', `export type A = import('../wire/rtnl/link.ts').A`),
    law: downwards,
  },
  {
    why: 'a dynamic import upwards',
    files: reached('src/base/up.ts', `export const f = () => import('../wire/rtnl/link.ts')`),
    law: downwards,
  },
  {
    why: 'a re-export of something higher',
    files: reached(
      'src/base/up.ts',
      `export { encode } from '../wire/rtnl/link.ts'\nexport const a = 1`,
    ),
    law: downwards,
  },
  {
    why: 'siblings in wire/ other than their base',
    files: reached('src/wire/nft/side.ts', `import '../rtnl/link.ts'`),
    law: downwards,
  },
  {
    why: 'the base of wire/ used by a sibling outside wire/',
    files: reached('src/cluster/side.ts', `import '../wire/netlink/message.ts'`),
    law: downwards,
  },
  {
    why: 'the base of wire/ asking one of its users',
    files: reached('src/wire/netlink/side.ts', `import '../rtnl/link.ts'`),
    law: downwards,
  },
  {
    why: 'a room importing a main',
    files: reached('src/cli/up.ts', `import '../main.ts'`),
    law: downwards,
  },
  {
    why: 'kernel from a page',
    files: reached('src/web/page.ts', `import '../kernel/open.ts'`),
    law: 'kernel from the wiring only',
  },
  {
    why: 'a room that is in no layer',
    files: reached('src/utils/all.ts', 'export const a = 1'),
    law: 'known room',
  },
  {
    why: 'a file in wire/ that is in no room',
    files: reached('src/wire/align.ts', 'export const a = 1'),
    law: 'known room',
  },
  {
    why: 'C outside kernel/native',
    files: { 'src/store/lock.c': 'int main;' },
    law: 'native code',
  },
  {
    why: 'an addon loaded outside kernel',
    files: reached('src/store/lock.ts', `export const lock = () => process.dlopen({}, 'x')`),
    law: 'native code',
  },
  {
    why: 'an addon required outside kernel',
    files: reached('src/store/lock.ts', `export const lock = './lock.node'`),
    law: 'native code',
  },
  {
    why: 'a child process in L4',
    files: reached('src/cli/run.ts', `import { spawn } from 'node:child_process'\nspawn('true')`),
    law: 'child_process',
  },
  {
    why: 'a node: value in a pure room',
    files: reached(
      'src/ipam/hash.ts',
      `import { createHash } from 'node:crypto'\ncreateHash('md5')`,
    ),
    law: noNode,
  },
  {
    why: 'a node: value beside a type',
    files: reached('src/ipam/hash.ts', `import { createHash, type Hash } from 'node:crypto'`),
    law: noNode,
  },
  {
    why: 'a builtin without its prefix',
    files: reached('src/ipam/read.ts', `import fs from 'fs'`),
    law: noNode,
  },
  ...[
    'Date.now()',
    'new Date()',
    'Date()',
    'Math.random()',
    'process.env',
    'performance.now()',
    'crypto.randomUUID()',
    'globalThis.process',
    'setTimeout(f, 1)',
    'console.log(1)',
  ].map((expression) => ({
    why: `${expression} in a pure room`,
    files: reached(
      'src/ipam/now.ts',
      `const f = () => 1\nexport const now = () => [f, ${expression}]`,
    ),
    law: noPlatform,
    line: 2,
  })),
  {
    why: 'an index that re-exports',
    files: reached('src/ipam/index.ts', `export * from './pool.ts'\nexport const a = 1`),
    law: 'no barrels',
  },
  {
    why: 'a barrel by another name',
    files: reached('src/ipam/all.ts', `export { pool } from './pool.ts'`),
    law: 'no barrels',
  },
  {
    why: 'an import that leaves src/',
    files: reached('src/ipam/out.ts', `import '../../test/ipam/pool.test.ts'`),
    law: 'src/ stands alone',
  },
  {
    why: 'an import of a file that is not there',
    files: reached('src/ipam/gone.ts', `import './nowhere.ts'`),
    law: 'imports name files',
  },
  {
    why: 'a file that nobody reads',
    files: { 'src/ipam/dead.ts': 'export const a = 1' },
    law: 'every file is reached',
  },
  {
    why: 'two files that read only each other',
    files: { 'src/ipam/a.ts': `import './b.ts'` },
    also: { 'src/ipam/b.ts': `import './a.ts'` },
    law: 'every file is reached',
    times: 2,
  },
])
  test(`rooms: ${row.why} is a breach`, async (t) => {
    const { files, also = {}, law, line = 1, times = 1 }: Row = row
    const found = breaches({ ...files, ...also })
    const [file] = Object.keys(files)
    t.same(
      found.map((breach) => breach.law),
      Array.from({ length: times }, () => law),
    )
    t.match(found[0], { file, line })
    t.not(found[0]?.allowed, '', 'the reader is told what is allowed')
  })

test('rooms: the plugin reaches only its rooms, over however many imports', async (t) => {
  const found = breaches({
    'src/kernel/open.ts': `import '../policy/compile.ts'\nexport const open = () => 1`,
    'src/policy/compile.ts': `import '../cluster/pod.ts'`,
    'src/cluster/pod.ts': 'export const pod = 1',
    'test/wire/link.test.ts': `import '../../src/wire/rtnl/link.ts'`,
  })
  t.same(
    found.map(({ law, file, line }) => ({ law, file, line })),
    [{ law: 'what the plugin reaches', file: 'src/kernel/open.ts', line: 1 }],
    'the first import that leaves them is named, not all that follow from it',
  )
  t.equal(found[0]?.found, 'src/plugin/main.ts → src/kernel/open.ts → src/policy/compile.ts')
})

test('rooms: what another main reaches is not held against the plugin', async (t) => {
  const agent = `import '../policy/compile.ts'`
  t.same(
    breaches({ 'src/agent/main.ts': agent, 'src/policy/compile.ts': 'export const a = 1' }),
    [],
  )
})

test('rooms: what the build generates is represented by its declarations', async (t) => {
  const files = {
    ...reached('src/cni/config.ts', `import './generated/validate.js'`),
    'src/cni/generated/validate.d.ts': 'export declare const validate: () => boolean',
    'src/cni/generated/validate.js': 'export const validate = () => process.exit()',
  }
  t.same(breaches(files), [])
})

test('rooms: a name in a comment, a text or a type is no breach', async (t) => {
  const text = `// import '../plugin/main.ts', Date.now()
export const a = "import '../plugin/main.ts'"
export type Clock = { process: number; performance(): number }
export const b = (clock: Clock) => clock.process + clock.performance()`
  t.same(breaches(reached('src/ipam/quiet.ts', text)), [])
})

test('rooms: the room of a file is its folder; in wire/ the one below', async (t) => {
  t.equal(roomOf('src/ipam/pool.ts'), 'ipam')
  t.equal(roomOf('src/kernel/native/tulle.c'), 'kernel')
  t.equal(roomOf('src/wire/nft/rule.ts'), 'wire/nft')
  t.equal(roomOf('src/main.ts'), 'main')
})

test('rooms: the map shows each room that has files, with what it really imports', async (t) => {
  const lines = drawMap(new Map(Object.entries(sound))).split('\n')
  const row = (room: string) => lines.find((line) => line.includes(`\`${room}/\``))
  t.match(row('wire/rtnl'), /^\| L1 \| .* \| wire\/netlink \|$/)
  t.match(row('kernel'), /^\| L3 \| .* \| wire\/rtnl \|$/)
  t.match(row('base'), /\| – \|$/)
  t.equal(row('policy'), undefined)
})
