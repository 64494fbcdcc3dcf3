// A server that ends while launchers are on it: killed as an update of an agent without grace would
// be, or with another build in its place. Whoever calls gets what an undisturbed call gets.
import t from 'tap'
import { addressesOf, attachLater, modes, netconf } from '../support/attachment.ts'
import { CallServer } from '../support/call-server.ts'
import { callLater } from '../support/cni.ts'
import { LauncherFile } from '../support/launcher-file.ts'
import { leases, records } from '../support/leases.ts'
import type { Ran } from '../support/netns.ts'
import { watchResidue } from '../support/residue.ts'
import { until } from '../support/until.ts'
import { withServed } from './served.ts'

t.setTimeout(300_000)

const refused = (ran: readonly Ran[]): readonly string[] =>
  ran.filter(({ code }) => code !== 0).map(({ stdout, stderr }) => stdout + stderr)

for (const mode of modes)
  for (const verb of ['ADD', 'DEL'] as const)
    t.test(`${mode}: the server ends under 40 ${verb}s, and another takes its place`, (t) =>
      withServed(async ({ host, server, file }) => {
        const conf = netconf(host, { mode, families: 'dual', keys: { ipMasq: true } })
        const plugin = file.path
        const pods = Array.from({ length: 40 }, () => host.pod())
        const left = watchResidue(host, [])
        const all = (asked: 'ADD' | 'DEL', from = 0): readonly Promise<Ran>[] =>
          pods.slice(from).map((pod) => attachLater(asked, pod, conf, { plugin }))
        if (verb === 'DEL') t.same(refused(await Promise.all(all('ADD'))), [])
        const calls = all(verb)
        // Half of them have an answer, some are begun, some wait.
        let ended = 0
        for (const one of calls)
          one.then(() => {
            ended += 1
          })
        const enough = verb === 'ADD' ? 10 : 1
        await until('some are over', () => ended >= enough, { limitMs: 20_000, pauseMs: 1 })
        server.signal('SIGTERM')
        await until('it is gone', () => !server.isAlive, { limitMs: 5000, pauseMs: 1 })
        const next = new CallServer({ node: host.netns, folder: file.folder })
        host.netns.beforeClose(() => next.close())
        const ran = await Promise.all(calls)
        t.same(refused(ran), [], `every ${verb} succeeds`)
        t.comment(`${file.started().length} were Node's, ${file.repeated().length} of them again`)
        // Links are deleted many at once: all of it may be over by then.
        if (verb === 'ADD') t.ok(file.started().length > 0, 'some were not the server’s')
        if (verb === 'ADD') {
          const addresses = ran.flatMap(({ stdout }) => addressesOf(JSON.parse(stdout)))
          t.equal(new Set(addresses).size, 80, 'no address twice')
          t.equal(leases(host.dataDir).length, 80, 'nor one that nobody has')
          const attached = records(host.dataDir).filter((line) => line.startsWith('attachment '))
          t.equal(attached.length, 40)
          t.same(refused(await Promise.all(all('DEL'))), [])
        }
        t.same(left(), [], 'nothing is left')
        t.same(records(host.dataDir), [])
        t.ok(next.isAlive)
      }),
    )

t.test('a launcher of another build, and a socket that nobody listens at', (t) =>
  withServed(async ({ host, server, file }) => {
    const other = new LauncherFile('other')
    const asked = { verb: 'VERSION', conf: '{}', node: host.netns } as const
    const beside = new CallServer({ node: host.netns, folder: other.folder })
    host.netns.beforeClose(() => beside.close())
    t.equal((await callLater({ ...asked, plugin: other.path })).code, 0)
    t.match(other.started(), [/^VERSION tulle [01]$/], 'the server has not done it')
    t.ok(beside.isAlive)
    t.equal((await callLater({ ...asked, plugin: file.path })).code, 0)
    t.same(file.started(), [], 'as it has the one of its own build')
    server.close()
    t.equal((await callLater({ ...asked, plugin: file.path })).code, 0)
    t.same(file.started(), ['VERSION tulle 0'], 'the socket of a dead server is there still')
  }),
)

t.test('a server that hangs: the call is Node’s, and not done later as well', (t) =>
  withServed(async ({ host, server, file }) => {
    const conf = netconf(host, { mode: 'routed' })
    const plugin = file.path
    const pod = host.pod()
    const left = watchResidue(host, [pod.netns])
    server.stop()
    t.equal((await attachLater('ADD', pod, conf, { plugin })).code, 0)
    t.equal((await attachLater('DEL', pod, conf, { plugin })).code, 0)
    t.same(file.started(), ['ADD tulle 0', 'DEL tulle 0'])
    server.proceed()
    const asked = { verb: 'VERSION', conf: '{}', node: host.netns, plugin } as const
    const isServed = async (): Promise<boolean> => {
      const before = file.started().length
      await callLater(asked)
      return file.started().length === before
    }
    await until('it serves again', isServed, { limitMs: 5000, pauseMs: 20 })
    t.same(left(), [], 'what was asked of it meanwhile it has not done')
    t.same(records(host.dataDir), [])
  }),
)
