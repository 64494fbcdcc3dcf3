import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { systemClock } from '../../src/agent/clock.ts'
import { NodesFileSource } from '../../src/agent/nodes-file.ts'

const textOf = (...names: readonly string[]): string =>
  names.length === 0
    ? 'nodes: []\n'
    : `nodes:\n${names
        .map(
          (name, at) =>
            `- {name: ${name}, address: 10.0.0.${at + 1}, podCIDRs: [10.${at}.0.0/16]}\n`,
        )
        .join('')}`

/** What a source told, awaited one after the other. */
class Told {
  readonly #all: string[] = []
  #wake: (() => void) | undefined

  readonly push = (text: string): void => {
    this.#all.push(text)
    this.#wake?.()
  }

  async next(): Promise<string> {
    while (this.#all.length === 0)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    return this.#all.shift() ?? ''
  }

  get left(): readonly string[] {
    return this.#all
  }
}

async function withSource(
  prepare: (folder: string) => string,
  use: (told: Told, folder: string, source: NodesFileSource) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tt-nodes-'))
  const told = new Told()
  const source = new NodesFileSource({
    path: prepare(folder),
    clock: systemClock,
    onNews: (news) =>
      told.push(news.kind === 'all' ? news.nodes.map(({ name }) => name).join(' ') : news.kind),
    onProblem: (text) => told.push(text === undefined ? 'good again' : `problem: ${text}`),
  })
  try {
    await use(told, folder, source)
  } finally {
    source.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

const written = (text: string) => (folder: string) => {
  const path = join(folder, 'nodes.yaml')
  writeFileSync(path, text)
  return path
}

test('what is there at the start is told at once, and a file that is written over too', (t) =>
  withSource(written(textOf('a')), async (told, folder) => {
    t.same(told.left, ['a'])
    t.equal(await told.next(), 'a')
    writeFileSync(join(folder, 'nodes.yaml'), textOf('a', 'b'))
    t.equal(await told.next(), 'a b')
  }))

test('a file that is replaced, again and again', (t) =>
  withSource(written(textOf('a')), async (told, folder) => {
    await told.next()
    for (const name of ['b', 'c', 'd']) {
      writeFileSync(join(folder, '.nodes.yaml.new'), textOf(name))
      renameSync(join(folder, '.nodes.yaml.new'), join(folder, 'nodes.yaml'))
      t.equal(await told.next(), name)
    }
  }))

/** As kubelet keeps a ConfigMap: file → ..data/file, ..data → a dated folder, which is switched. */
function switchTo(folder: string, version: string, text: string): void {
  mkdirSync(join(folder, version))
  writeFileSync(join(folder, version, 'nodes.yaml'), text)
  symlinkSync(version, join(folder, '..data_tmp'))
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
}

test("a ConfigMap's switch of ..data", (t) =>
  withSource(
    (folder) => {
      switchTo(folder, '..2026_1', textOf('a'))
      symlinkSync('..data/nodes.yaml', join(folder, 'nodes.yaml'))
      return join(folder, 'nodes.yaml')
    },
    async (told, folder) => {
      t.equal(await told.next(), 'a')
      switchTo(folder, '..2026_2', textOf('b'))
      rmSync(join(folder, '..2026_1'), { recursive: true })
      t.equal(await told.next(), 'b')
    },
  ))

for (const { why, spoil, text } of [
  { why: 'no YAML', spoil: (path: string) => writeFileSync(path, 'nodes: ['), text: /flow/i },
  {
    why: 'a wrong address',
    spoil: (path: string) => writeFileSync(path, textOf('a').replace('10.0.0.1', '10.0.0.256')),
    text: /nodes\[0\]\.address is "10.0.0.256"; accepted/,
  },
  { why: 'cut to nothing', spoil: (path: string) => truncateSync(path, 0), text: /the file is/ },
  { why: 'deleted', spoil: (path: string) => rmSync(path), text: /ENOENT/ },
])
  test(`what can't be used is told, and what was last good stays: ${why}`, (t: Test) =>
    withSource(written(textOf('a')), async (told, folder, source) => {
      await told.next()
      spoil(join(folder, 'nodes.yaml'))
      t.match(await told.next(), text)
      t.match(source.problem, text)
      writeFileSync(join(folder, 'nodes.yaml'), textOf('z'))
      t.equal(await told.next(), 'good again')
      t.equal(await told.next(), 'z')
    }))

test('an empty list is told: it is not the same as nothing', (t) =>
  withSource(written(textOf()), async (told) => {
    t.equal(await told.next(), '')
  }))

test('a file that is touched and says the same is no news', (t) =>
  withSource(written(textOf('a')), async (told, folder) => {
    await told.next()
    writeFileSync(join(folder, 'nodes.yaml'), textOf('a'))
    writeFileSync(join(folder, 'other'), '')
    await new Promise((resolve) => systemClock.after(150, () => resolve(undefined)))
    writeFileSync(join(folder, 'nodes.yaml'), textOf('b'))
    t.equal(await told.next(), 'b')
    t.same(told.left, [])
  }))

test('a folder that comes later, and one that is replaced', (t) =>
  withSource(
    (folder) => join(folder, 'etc', 'nodes.yaml'),
    async (told, folder) => {
      t.match(await told.next(), /ENOENT/)
      mkdirSync(join(folder, 'etc'))
      writeFileSync(join(folder, 'etc', 'nodes.yaml'), textOf('a'))
      t.equal(await told.next(), 'good again')
      t.equal(await told.next(), 'a')
      mkdirSync(join(folder, 'new'))
      writeFileSync(join(folder, 'new', 'nodes.yaml'), textOf('b'))
      renameSync(join(folder, 'etc'), join(folder, 'old'))
      renameSync(join(folder, 'new'), join(folder, 'etc'))
      t.equal(await told.next(), 'b')
    },
  ))
