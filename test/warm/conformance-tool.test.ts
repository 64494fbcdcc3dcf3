// "tulle conformance" on the launcher, under several names, with a server in the tool's own
// node: all its cases pass as they do on the executable.
import { type ChildProcess, spawn } from 'node:child_process'
import { readlinkSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { failsOf, parsed } from '../cli/examined.ts'
import { CallServer } from '../support/call-server.ts'
import { executable } from '../support/cni.ts'
import { LauncherFile } from '../support/launcher-file.ts'
import type { Ran } from '../support/netns.ts'
import { until } from '../support/until.ts'

t.setTimeout(280_000)

/** Whether that process has a network and mounts of its own by now. */
function isInside({ pid }: ChildProcess): boolean {
  const of = (who: number | string, kind: string): string => readlinkSync(`/proc/${who}/ns/${kind}`)
  return ['net', 'mnt'].every((kind) => of(pid ?? 0, kind) !== of('self', kind))
}

async function examine(file: LauncherFile, plugin: string): Promise<Ran> {
  const words = ['conformance', '--plugin', plugin, '--json']
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }
  const child = spawn(executable, words, { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const texts: string[] = []
  child.stdout.setEncoding('utf8').on('data', (text: string) => texts.push(text))
  const end = new Promise<number>((resolve) => child.on('close', (code) => resolve(code ?? -1)))
  await until('the tool has its node', () => isInside(child), { limitMs: 20_000, pauseMs: 1 })
  const inside = ['nsenter', `--mount=/proc/${child.pid}/ns/mnt`]
  const node = { path: `/proc/${child.pid}/ns/net` }
  const server = new CallServer({ node, folder: file.folder, inside })
  const code = await end
  t.ok(server.isAlive, 'the server lives to its end')
  server.close()
  return { code, stdout: texts.join(''), stderr: '' }
}

/** TULLE_WARM_NAMES=bandwidth,tuning,firewall for those that are left out here for time. */
const names = (process.env.TULLE_WARM_NAMES ?? 'tulle,portmap,loopback').split(',')
for (const name of names)
  t.test(`the launcher passes every case under the name ${name}`, async (t) => {
    const file = new LauncherFile()
    const plugin = join(file.folder, name)
    if (name !== 'tulle') symlinkSync(file.path, plugin)
    const examined = parsed(await examine(file, plugin))
    t.same(failsOf(examined), [])
    t.ok(examined.passed > 90, `${examined.passed} passed`)
    const gone = file.started().filter((line) => line.startsWith('DEL ')).length
    t.ok(gone < 40, `${gone} DELs were Node's: most are the server's`)
    const started = Object.entries(Object.groupBy(file.started(), (line) => line))
    t.comment(started.map(([line, all]) => `${all?.length} × ${line}`).join(', '))
  })
