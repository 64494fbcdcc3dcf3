import {
  chmodSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename } from 'node:path'
import t from 'tap'
import { executable } from '../support/cni.ts'
import { run } from '../support/netns.ts'
import { tool, toolJson, withFolder } from './tool.ts'

type Report = Readonly<{ changed: readonly Readonly<{ path: string; did: string }>[] }>

const install = (dir: string, ...words: string[]): Record<string, string> =>
  deeds(toolJson<Report>(['install', '--dir', dir, ...words]))
const uninstall = (dir: string): Record<string, string> =>
  deeds(toolJson<Report>(['uninstall', '--dir', dir]))
const deeds = ({ changed }: Report): Record<string, string> =>
  Object.fromEntries(changed.map(({ path, did }) => [basename(path), did]))

const foreignText = '#!/bin/sh\necho reference\n'
function putForeign(path: string): void {
  writeFileSync(path, foreignText)
  chmodSync(path, 0o755)
}

t.test('fresh, again, and away', async (t) =>
  withFolder((folder) => {
    const dir = `${folder}/opt/cni/bin`
    const did = { tulle: 'copied', bridge: 'linked to tulle', portmap: 'linked to tulle' }
    t.same(install(dir, '--names', 'bridge,portmap'), did)
    t.ok(readFileSync(`${dir}/tulle`).equals(readFileSync(executable)), 'the same bytes')
    t.equal(lstatSync(`${dir}/tulle`).mode & 0o777, 0o755)
    t.equal(readlinkSync(`${dir}/portmap`), 'tulle')
    const about = run([`${dir}/portmap`], { env: {} })
    t.match(about.stderr, /^CNI portmap plugin v/, 'it answers to the name')
    const { ino } = lstatSync(`${dir}/tulle`)
    t.same(install(dir, '--names', 'bridge,portmap'), {})
    t.equal(lstatSync(`${dir}/tulle`).ino, ino, 'the file is the same one')
    const again = tool(['install', '--dir', dir])
    t.same([again.code, again.stdout], [0, `${dir}: nothing to change\n`])
    t.same(uninstall(dir), { tulle: 'removed', bridge: 'removed', portmap: 'removed' })
    t.same(readdirSync(dir), [])
    t.same(uninstall(dir), {}, 'away already')
  }),
)

t.test('every name, and none', async (t) =>
  withFolder((dir) => {
    install(dir)
    t.same(readdirSync(dir), ['tulle'])
    const linked = Object.keys(install(dir, '--names', 'all'))
    for (const name of ['bridge', 'ptp', 'portmap', 'bandwidth', 'tuning', 'firewall'])
      t.ok(linked.includes(name), name)
    for (const name of linked) t.match(run([`${dir}/${name}`], { env: {} }).stderr, name)
    t.match(tool(['install', '--dir', dir, '--names', 'x']).stderr, linked.join(', '))
  }),
)

t.test('an older Tulle is replaced by rename', async (t) =>
  withFolder((dir) => {
    writeFileSync(`${dir}/tulle`, 'of old: CNI tulle plugin v0.0.1')
    const { ino } = lstatSync(`${dir}/tulle`)
    t.same(install(dir), { tulle: 'replaced' })
    t.not(lstatSync(`${dir}/tulle`).ino, ino)
    t.same(readdirSync(dir), ['tulle'], 'nothing is kept of ourselves')
  }),
)

t.test('somebody else’s plugin is refused, or kept and put back', async (t) =>
  withFolder((dir) => {
    putForeign(`${dir}/bridge`)
    putForeign(`${dir}/tulle`)
    symlinkSync('/usr/lib/cni/ptp', `${dir}/ptp`)
    const before = readdirSync(dir)
    const words = ['install', '--dir', dir, '--names', 'bridge,portmap,ptp']
    const { code, stderr } = tool(words)
    t.equal(code, 1)
    for (const name of ['tulle', 'bridge', 'ptp']) t.match(stderr, `${dir}/${name}`)
    t.same(readdirSync(dir), before, 'nothing was changed')

    t.equal(tool([...words, '--force']).code, 0)
    t.equal(readlinkSync(`${dir}/bridge`), 'tulle')
    t.equal(readFileSync(`${dir}/bridge.before-tulle`, 'utf8'), foreignText)
    t.equal(readlinkSync(`${dir}/ptp.before-tulle`), '/usr/lib/cni/ptp')
    t.same(tool([...words, '--force']).stdout, `${dir}: nothing to change\n`)

    uninstall(dir)
    t.same(readdirSync(dir), before)
    t.equal(readFileSync(`${dir}/bridge`, 'utf8'), foreignText)
    t.equal(lstatSync(`${dir}/bridge`).mode & 0o777, 0o755)
    t.equal(readlinkSync(`${dir}/ptp`), '/usr/lib/cni/ptp')
    t.same(uninstall(dir), {}, 'what is not ours is not taken away')
  }),
)

t.test('a plugin that was kept is never written over', async (t) =>
  withFolder((dir) => {
    const words = ['install', '--dir', dir, '--names', 'bridge', '--force']
    putForeign(`${dir}/bridge`)
    tool(words)
    run(['rm', `${dir}/bridge`])
    writeFileSync(`${dir}/bridge`, 'a package put this here')
    const { code, stderr } = tool(words)
    t.equal(code, 1)
    t.match(stderr, /bridge\.before-tulle: kept at an earlier install/)
    t.equal(readFileSync(`${dir}/bridge.before-tulle`, 'utf8'), foreignText)
    t.equal(readFileSync(`${dir}/bridge`, 'utf8'), 'a package put this here')
  }),
)
