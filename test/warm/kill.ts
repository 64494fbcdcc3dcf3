import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { added, addedLater, attachLater, type Extra, netconf } from '../support/attachment.ts'
import { CallServer } from '../support/call-server.ts'
import type { Json } from '../support/cni.ts'
import { changing, type Place, placesIn } from '../support/faults.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import { type Killed, keysOf, watchAll } from '../support/killed.ts'
import { LauncherFile } from '../support/launcher-file.ts'
import { leases, records } from '../support/leases.ts'
import { inPairs } from '../support/pairs.ts'
import { resultFaults } from '../support/shape.ts'
import { trace } from './tracer.ts'

// The server dies at every call by which it changes the world, in the midst of what a launcher has
// asked for: the launcher starts the executable, and the caller hears of nothing.

/** What dies, and what else lives on the node: its tables and bridges stay. */
export type KilledServer = Killed & Readonly<{ beside: 'nobody' | 'a pod' }>

const network = (host: Host, { mode, asks }: KilledServer, hostPort: number): Json =>
  netconf(host, { mode, families: 'dual', keys: { ipMasq: true, ...keysOf(host, asks, hostPort) } })

/** A node with a server, and a pod of which nothing is there yet, or that is attached. */
type Scene = Readonly<{
  host: Host
  pod: Pod
  conf: Json
  server: CallServer
  file: LauncherFile
  left: () => readonly string[]
}>

function withScene<T>(killed: KilledServer, use: (scene: Scene) => Promise<T>): Promise<T> {
  return withHost(async (host) => {
    const file = new LauncherFile()
    const server = new CallServer({ node: host.netns, folder: file.folder })
    host.netns.beforeClose(() => server.close())
    if (killed.beside === 'a pod') added(host.pod(), network(host, killed, 8081))
    const pod = host.pod()
    const conf = network(host, killed, 8080)
    // A server's first call makes its sockets; the undisturbed and the disturbed have to match.
    await attachLater('ADD', pod, conf, { plugin: file.path })
    await attachLater('DEL', pod, conf, { plugin: file.path })
    const left = watchAll(host, [pod])
    if (killed.verb === 'DEL') await addedLater(pod, conf)
    return use({ host, pod, conf, server, file, left })
  })
}

async function placesFor(t: Test, killed: KilledServer): Promise<readonly Place[]> {
  return withScene(killed, async ({ host, pod, conf, server, file }) => {
    const output = join(host.directory, 'trace')
    const words = ['-e', `trace=${changing.join(',')}`, '-y', '-o', output]
    const tracer = await trace(server, words)
    const ran = await attachLater(killed.verb, pod, conf, { plugin: file.path })
    await tracer.end()
    t.equal(ran.code, 0, ran.stdout)
    const places = placesIn(readFileSync(output, 'utf8')).filter(isOfItsOwn)
    t.comment(places.map(({ name, when }) => `${name} ${when}`).join(', '))
    t.ok(places.length > 8, `${places.length} places to die at`)
    return places
  })
}

/** SQLite writes a commit in many pieces: one of four stands for them. */
const isOfItsOwn = ({ name, when }: Place): boolean => name !== 'pwrite64' || when % 4 === 1

/** Right, once, and gone without a trace when it is to go. */
async function expectAdded(t: Test, scene: Scene, stdout: string, at: string): Promise<void> {
  const { host, pod, conf, left } = scene
  const prevResult = JSON.parse(stdout) as Json
  t.same(resultFaults(prevResult, '1.1.0'), [], `${at}: its result`)
  const checked = await attachLater('CHECK', pod, { ...conf, prevResult })
  t.equal(checked.code, 0, `${at}: CHECK agrees: ${checked.stdout}`)
  const held = leases(host.dataDir).length
  const others = records(host.dataDir).filter((line) => line.startsWith('attachment ')).length
  t.equal(held, 2 * others, `${at}: two addresses for each that is attached`)
  const links = host.netns.ipJson('link', 'show').map(({ ifname }) => String(ifname))
  t.equal(links.filter((name) => /^tul[0-9a-f]{11}$/.test(name)).length, others, `${at}: one link`)
  t.equal((await attachLater('DEL', pod, conf)).code, 0)
  t.same(left(), [], `${at}: DEL leaves nothing`)
}

async function kill(t: Test, killed: KilledServer, place: Place): Promise<string> {
  return withScene(killed, async (scene) => {
    const { pod, conf, server, file, left } = scene
    const at = `${place.name} ${place.when}`
    const inject = `inject=${place.name}:signal=SIGKILL:when=${place.when}`
    const before = file.started().length
    const tracer = await trace(server, [
      '-o',
      '/dev/null',
      '-e',
      `trace=${place.name}`,
      '-e',
      inject,
    ])
    const asked: Extra = { plugin: file.path }
    const ran = await attachLater(killed.verb, pod, conf, asked)
    const ending = server.isAlive ? 'survived' : (file.started()[before] ?? 'answered')
    await tracer.end()
    t.equal(ran.code, 0, `${at}: ${killed.verb} succeeds (${ending}): ${ran.stdout}${ran.stderr}`)
    if (killed.verb === 'DEL') {
      t.equal(ran.stdout, '')
      t.same(left(), [], `${at}: it leaves nothing (${ending})`)
    } else if (ran.code === 0) await expectAdded(t, scene, ran.stdout, at)
    return ending
  })
}

/** SIGKILL for the server at every call that changes the world, one run each. */
export async function killServerEverywhere(t: Test, killed: KilledServer): Promise<void> {
  const endings: string[] = []
  await inPairs(await placesFor(t, killed), async (place) => {
    endings.push(await kill(t, killed, place))
  })
  const told = Object.entries(Object.groupBy(endings, (ending) => ending))
  t.comment(told.map(([ending, all]) => `${all?.length} × ${ending}`).join(', '))
  const dead = endings.filter((ending) => ending !== 'survived').length
  // Where it looks whether a link is gone, the number of its calls varies.
  t.ok(dead > endings.length * 0.7, `${dead} of ${endings.length} servers were killed`)
  const begun = endings.filter((ending) => ending === `${killed.verb} tulle 1`)
  t.ok(begun.length > endings.length / 2, `${begun.length} after work had begun`)
}
