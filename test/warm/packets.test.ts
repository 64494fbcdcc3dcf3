import { chmodSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { added, attachLater, deleted, netconf } from '../support/attachment.ts'
import { call, executable } from '../support/cni.ts'
import { launchersFolder } from '../support/launcher-file.ts'
import { leases } from '../support/leases.ts'
import { type Netns, type Ran, runLater } from '../support/netns.ts'
import { watchResidue } from '../support/residue.ts'
import { until } from '../support/until.ts'
import { openFiles, type Served, withServed } from './served.ts'

t.setTimeout(240_000)

const cases = Number(process.env.TULLE_FUZZ_CASES ?? 3_000)
const seed = Number(process.env.TULLE_FUZZ_SEED ?? Date.now() % 2 ** 31)

const program = fileURLToPath(new URL('packets.py', import.meta.url))
const launcher = readFileSync(join(dirname(executable), 'launcher'), 'latin1')
const build = /tulle-cni 1 (\S+\+[0-9a-f]{12}) /.exec(launcher)?.[1] ?? ''

type Spoken = Readonly<{ node: Netns; served: Served; words: readonly string[] }>

/** What packets.py says, from a node's namespace. */
const speak = ({ node, served, words: [mode = '', ...rest] }: Spoken): Promise<Ran> =>
  runLater(
    ['nsenter', `--net=${node.path}`, 'python3', program, mode, served.file.socket, build, ...rest],
    { timeoutMs: 200_000 },
  )

const version = ({ host, file }: Served): Ran =>
  call({ verb: 'VERSION', conf: { cniVersion: '1.1.0' }, node: host.netns, plugin: file.path })

t.test(`${cases} connections of garbage, TULLE_FUZZ_SEED=${seed}`, (t) =>
  withServed(async (served) => {
    const { host, server, file } = served
    const conf = netconf(host, { mode: 'routed' })
    const pod = host.pod()
    const left = watchResidue(host, [pod.netns])
    const extra = { plugin: file.path }
    // What a server opens at its first calls, it keeps.
    added(pod, conf, extra)
    deleted(pod, conf, extra)
    const before = openFiles(server)
    const words = ['fuzz', pod.netns.path, JSON.stringify(conf), String(seed), String(cases)]
    const ran = await speak({ node: host.netns, served, words })
    t.equal(ran.code, 0, ran.stderr)
    const answers = JSON.parse(ran.stdout) as Readonly<Record<string, number>>
    t.comment(JSON.stringify(answers))
    t.ok(server.isAlive, 'the server goes on')
    t.notOk(answers.silence, 'each connection is answered or closed')
    t.notOk(answers['no end'], 'and each call that was begun ends')
    t.ok((answers.R ?? 0) > cases / 20 && (answers.D ?? 0) > cases / 100, 'some get far')
    // A socket of each kind stays for every call that there was at once.
    const kept = before + 4
    await until('the last connections are closed', () => openFiles(server) <= kept, {
      limitMs: 5000,
      pauseMs: 50,
    }).catch(() => undefined)
    t.ok(openFiles(server) <= kept, `${openFiles(server)} descriptors are open, ${before} before`)
    t.equal(version(served).code, 0)
    deleted({ ...pod, container: 'fuzz' }, conf)
    added(pod, conf, extra)
    deleted(pod, conf, extra)
    t.same(file.repeated(), [], 'calls are served as before')
    t.same(left(), [])
  }),
)

t.test('a launcher that says nothing more holds up nobody for longer than 0.5 s', (t) =>
  withServed(async (served) => {
    const { host, server, file } = served
    const conf = netconf(host, { mode: 'routed', families: 'dual' })
    const [pod, other] = [host.pod(), host.pod()]
    const left = watchResidue(host, [pod.netns, other.netns])
    added(other, conf, { plugin: file.path })
    deleted(other, conf, { plugin: file.path })
    const beSilent = async (): Promise<void> => {
      const words = ['silent', pod.netns.path, JSON.stringify(conf)]
      const times: number[] = []
      let isOver = false
      const over = speak({ node: host.netns, served, words }).finally(() => {
        isOver = true
      })
      while (!isOver) {
        const start = performance.now()
        const ran = await attachLater('CHECK', other, conf, { plugin: file.path })
        times.push(ran.code === 1 ? performance.now() - start : Number.POSITIVE_INFINITY)
        await sleep(5)
      }
      const told = JSON.parse((await over).stdout) as { ms: number; words: string }
      t.match(told.words, /^N*ON*ON*D$/, 'asked once in vain')
      t.ok(told.ms < 1500, `${told.ms} ms`)
      t.ok(Math.max(...times) < 1500, `others took ${times.map(Math.round).join(', ')} ms`)
    }
    await beSilent()
    // As many sockets stay open as there were calls at once.
    const before = openFiles(server)
    await beSilent()
    t.equal(openFiles(server), before)
    t.same(leases(host.dataDir), [])
    t.same(left(), [], 'what was begun is undone')
  }),
)

t.test('who is asked from: another namespace, another user', (t) =>
  withServed(async (served) => {
    const { host, file, server } = served
    const ask = (node: Netns, user: readonly string[] = []): Promise<string> =>
      runLater(
        ['nsenter', `--net=${node.path}`, ...user, 'python3', program, 'ask', file.socket, build],
        { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' } },
      ).then(({ stdout }) => stdout.trim())
    const before = openFiles(server)
    const nobody = ['setpriv', '--reuid', '65534', '--clear-groups']
    t.equal(await ask(host.netns), 'served')
    t.equal(await ask(host.outside), 'refused', 'a namespace of others')
    t.equal(await ask(host.netns, nobody), 'no connection', 'the folder is root’s')
    for (const path of [launchersFolder(), file.folder]) chmodSync(path, 0o755)
    t.equal(await ask(host.netns, nobody), 'no connection', 'so is the socket')
    chmodSync(file.socket, 0o666)
    t.equal(await ask(host.netns, nobody), 'refused', 'and the peer is asked for')
    const outside = { verb: 'VERSION', conf: {}, node: host.outside, plugin: file.path } as const
    t.equal(call(outside).code, 0, 'a launcher there starts the executable')
    t.match(file.started(), [/^VERSION tulle [01]$/], 'once')
    t.equal(openFiles(server), before)
  }),
)
