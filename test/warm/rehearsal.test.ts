// The worker practises calls with answers that a kernel gave when the executable was built.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { loadNative } from '../../src/kernel/native.ts'
import { modes, rehearsalFolder, rehearse, type Script } from '../../src/plugin/worker/rehearsal.ts'
import { attachLater, netconf } from '../support/attachment.ts'
import { CallServer } from '../support/call-server.ts'
import { withHost } from '../support/host.ts'
import { LauncherFile } from '../support/launcher-file.ts'
import { watchResidue } from '../support/residue.ts'
import { resultFaults } from '../support/shape.ts'
import { until } from '../support/until.ts'

const recorded = (): Script =>
  JSON.parse(readFileSync(new URL('../../dist/build/rehearsal.json', import.meta.url), 'utf8'))

/** How many performances it took, and what ended them early; `folder` is empty again after it. */
function play(folder: string, script: Script | undefined): { count: number; end: unknown } {
  let count = 0
  try {
    for (const _ of rehearse(loadNative(), () => script, folder)) count += 1
    return { count, end: undefined }
  } catch (end) {
    return { count, end }
  }
}

const patience = { limitMs: 30_000, pauseMs: 2 }
const folder = mkdtempSync(join(tmpdir(), 'tulle-test-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

t.test('what the build recorded is played to its end, and asks no kernel', async (t) => {
  const base = loadNative()
  const asked: string[] = []
  const watched = Object.fromEntries(
    Object.entries(base).map(([name, real]) => [
      name,
      (...words: unknown[]) => {
        if (name !== 'lock') asked.push(name)
        return (real as (...words: unknown[]) => unknown)(...words)
      },
    ]),
  ) as typeof base
  let count = 0
  for (const _ of rehearse(watched, recorded, folder)) count += 1
  t.equal(count, 60)
  t.same(asked, [])
  t.same(readdirSync(folder), [])
})

t.test('without a script nothing is done', async (t) => {
  t.same(play(folder, undefined), { count: 0, end: undefined })
})

t.test('a node that answers otherwise ends it, wherever, and nothing is left', async (t) => {
  const script = recorded()
  for (const mode of modes)
    for (const act of ['first', 'again'] as const)
      for (let at = 0; at < script[mode][act].length; at += 23) {
        const lines = script[mode][act].with(at, { call: 'other', about: 0, answer: 0 })
        const { count, end } = play(folder, {
          ...script,
          [mode]: { ...script[mode], [act]: lines },
        })
        t.ok(end instanceof Error && count < 4, `${mode} ${act} ${at}: ended after ${count}`)
        t.same(readdirSync(folder), [])
      }
})

t.test('a server practises while nobody asks, and serves who does', (t) =>
  withHost(async (host) => {
    const file = new LauncherFile()
    const left = watchResidue(host, [])
    const server = new CallServer({ node: host.netns, folder: file.folder, isRehearsing: true })
    host.netns.beforeClose(() => server.close())
    const stage = join(file.folder, rehearsalFolder)
    await until('a rehearsal', () => existsSync(stage), patience)
    const conf = netconf(host, { mode: 'bridge', families: 'dual', keys: { ipMasq: true } })
    for (let pods = 0; existsSync(stage) || pods < 3; pods += 1) {
      const pod = host.pod()
      const ran = await attachLater('ADD', pod, conf, { plugin: file.path })
      t.equal(ran.code, 0, ran.stdout)
      t.same(resultFaults(JSON.parse(ran.stdout), '1.1.0'), [])
      t.equal((await attachLater('DEL', pod, conf, { plugin: file.path })).code, 0)
    }
    t.same(file.started(), [], 'no launcher had to start a process')
    t.same(left(), [], 'nothing of it is in the kernel')
  }),
)

t.test('one that is killed at it leaves a folder that the next takes away', (t) =>
  withHost(async (host) => {
    const file = new LauncherFile()
    const start = (): CallServer =>
      new CallServer({ node: host.netns, folder: file.folder, isRehearsing: true })
    const stage = join(file.folder, rehearsalFolder)
    const killed = start()
    host.netns.beforeClose(() => killed.close())
    await until('a rehearsal', () => existsSync(join(stage, 'bridge')), patience)
    killed.close()
    t.ok(existsSync(stage))
    const next = start()
    host.netns.beforeClose(() => next.close())
    await until('its end', () => !existsSync(stage), patience)
  }),
)
