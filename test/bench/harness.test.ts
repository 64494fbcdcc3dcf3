import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { makeNetns, run } from '../support/netns.ts'
import { measure } from './harness.ts'
import { type Call, type Contender, decodeCall, encodeJob, type Job, residentRound } from './job.ts'
import { fillLeases, isBeyondFilled } from './leases.ts'
import { compileFloor, compileHarness } from './toolchain.ts'

const directory = mkdtempSync(join(tmpdir(), 'tulle-harness-test-'))
t.teardown(() => rmSync(directory, { recursive: true, force: true }))
const harness = compileHarness(directory)
mkdirSync(join(directory, 'pods'))

/** A plugin in shell that leaves what it was given in files named by verb and pod. */
function makePlugin(name: string, body: string): string {
  const file = join(directory, name)
  writeFileSync(file, `#!/bin/sh\n${body}\n`, { mode: 0o755 })
  return file
}

const contender = (executable: string, more: Partial<Contender> = {}): Contender => ({
  name: 'one',
  executable,
  words: [],
  environment: { PATH: '/usr/bin:/bin' },
  conf: '{"name":"n"}',
  verbs: ['ADD', 'CHECK', 'DEL'],
  burst: 1,
  clock: 'exec-to-exit',
  resident: 'none',
  ...more,
})

async function runJob(contenders: readonly Contender[], more: Partial<Job> = {}) {
  const pods = join(directory, 'pods')
  const order = 'verbs' as const
  const job = { pods, rounds: 1, warmup: 0, seed: 1, limitSeconds: 20, order, contenders, ...more }
  return measure(harness, job, () => undefined, new AbortController().signal)
}

const shape = ({ contender, verb, round, failed }: Call) => ({ contender, verb, round, failed })

t.test(
  'CHECK and DEL get what ADD printed as prevResult; the environment is explicit',
  async (t) => {
    const record = makePlugin(
      'record',
      `cat > ${directory}/$CNI_COMMAND.in; ` +
        `env | sort > ${directory}/$CNI_COMMAND.env; echo '{"a":1}'`,
    )
    process.env.TULLE_LEAK = 'yes'
    const { fault, calls } = await runJob([contender(record)])
    delete process.env.TULLE_LEAK
    t.equal(fault, undefined)
    t.same(
      calls.map(({ verb }) => verb),
      ['ADD', 'CHECK', 'DEL'],
    )
    t.equal(readFileSync(join(directory, 'ADD.in'), 'utf8'), '{"name":"n"}')
    for (const verb of ['CHECK', 'DEL'])
      t.same(JSON.parse(readFileSync(join(directory, `${verb}.in`), 'utf8')), {
        name: 'n',
        prevResult: { a: 1 },
      })
    const names = readFileSync(join(directory, 'ADD.env'), 'utf8').match(/^\w+(?==)/gm)
    t.same(
      names?.filter((name) => !['PWD', '_', 'SHLVL', 'OLDPWD'].includes(name)),
      ['CNI_COMMAND', 'CNI_CONTAINERID', 'CNI_NETNS', 'PATH'],
    )
  },
)

t.test('a pod is a namespace of its own, and gone with the harness', async (t) => {
  const tell = makePlugin(
    'tell',
    `stat -L -c %i $CNI_NETNS /proc/self/ns/net > ${directory}/inodes; ` +
      `echo $CNI_NETNS > ${directory}/path; echo '{}'`,
  )
  await runJob([contender(tell, { verbs: ['ADD'] })])
  const [pod, node] = readFileSync(join(directory, 'inodes'), 'utf8').trim().split('\n')
  t.match(pod, /^\d+$/)
  t.not(pod, node)
  t.notOk(existsSync(readFileSync(join(directory, 'path'), 'utf8').trim()))
})

t.test('each runs inside its own node, with one more pod attached all the time', async (t) => {
  const place = makePlugin('place', `ip -o link show type veth >> ${directory}/$LABEL; echo '{}'`)
  const contenders = ['left', 'right'].map((name) => {
    const node = makeNetns(`bench-${name}`)
    t.teardown(() => node.close())
    node.ip('link', 'add', `${name}1`, 'type', 'veth', 'peer', 'name', `${name}2`)
    const environment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LABEL: name }
    const verbs = ['ADD', 'DEL'] as const
    return contender(place, { node: node.path, environment, verbs, resident: 'kept' })
  })
  const { calls } = await runJob(contenders, { warmup: 1 })
  for (const [here, there] of [
    ['left', 'right'],
    ['right', 'left'],
  ] as const) {
    const seen = readFileSync(join(directory, here), 'utf8')
    t.equal(seen.split(`${here}1@`).length - 1, 6)
    t.notMatch(seen, there)
  }
  t.same(
    calls.filter((call) => call.contender === 0).map(({ verb, round }) => [verb, round]),
    [
      ['ADD', residentRound],
      ...[-1, 0].flatMap((round) => [
        ['ADD', round],
        ['DEL', round],
      ]),
      ['DEL', residentRound],
    ],
  )
})

t.test('failures are counted and quoted; verbs are interleaved over the contenders', async (t) => {
  const good = makePlugin('good', "echo '{}'")
  const bad = makePlugin('bad', 'echo \'{"code":7}\'; echo why >&2; exit 3')
  const { calls } = await runJob([contender(good), contender(bad)])
  t.same(
    calls.map((call) => call.verb),
    ['ADD', 'ADD', 'CHECK', 'CHECK', 'DEL', 'DEL'],
  )
  const refused = calls.find((call) => call.contender === 1)!
  t.match(refused, { failed: 1, exit: 3, stdout: '{"code":7}', stderr: 'why' })
  t.ok(calls.filter((call) => call.contender === 0).every((call) => call.failed === 0))
})

t.test('a burst is one line: all its processes, wall time of all', async (t) => {
  const nap = makePlugin('nap', "case $CNI_NETNS in *-3) exit 1 ;; esac; echo '{}'")
  const { calls } = await runJob([contender(nap, { burst: 5, verbs: ['ADD'] })])
  t.same(calls.map(shape), [{ contender: 0, verb: 'ADD', round: 0, failed: 1 }])
  t.equal(calls[0]!.count, 5)
})

t.test('contenders one by one, each in as many rounds as it asks for', async (t) => {
  const good = makePlugin('turns', "echo '{}'")
  const contenders = [contender(good, { rounds: 1 }), contender(good)]
  const { calls } = await runJob(contenders, { rounds: 2, warmup: 1, order: 'contenders' })
  const rounds = new Map<number, (readonly [number, string])[]>()
  for (const { round, contender, verb } of calls)
    rounds.set(round, [...(rounds.get(round) ?? []), [contender, verb]])
  const all = ['ADD', 'CHECK', 'DEL'] as const
  const of = (one: number) => all.map((verb) => [one, verb])
  t.same(rounds.get(-1), of(1))
  t.same(rounds.get(1), of(1))
  const [first = 0] = rounds.get(0)?.[0] ?? []
  t.same(rounds.get(0), [...of(first), ...of(1 - first)])
})

t.test('a pod has a host port of its own', async (t) => {
  const ports = join(directory, 'ports')
  const record = makePlugin('port', `cat >> ${ports}; echo '{}'`)
  await runJob([contender(record, { conf: '{"a":@PORT@,"b":1}', verbs: ['ADD'], burst: 2 })])
  const seen = readFileSync(ports, 'utf8').match(/\{"a":2\d{4},"b":1\}/g)
  t.equal(new Set(seen).size, 2)
})

t.test('what an agent works until it is quiet is part of the call', async (t) => {
  // Woken by the call, it works for 60 ms, most of it when the call has ended.
  const wake = join(directory, 'wake')
  run(['mkfifo', wake])
  const work = 'const t = process.cpuUsage(); while (process.cpuUsage(t).user < 60000);'
  const serve = `const f = require('fs'); for (;;) { f.readFileSync('${wake}'); ${work} }`
  const agent = spawn(process.execPath, ['-e', `console.log('ready'); ${serve}`])
  t.teardown(() => agent.kill('SIGKILL'))
  await once(agent.stdout, 'data')
  const ask = makePlugin('ask', `echo x > ${wake}`)
  const verbs = ['VERSION'] as const
  const { calls } = await runJob([contender(ask, { verbs, agent: agent.pid ?? 0 })])
  const [{ agentMs = 0 } = {}] = calls
  t.ok(agentMs > 50, `${agentMs} ms`)
  const { calls: alone } = await runJob([contender(ask, { verbs })])
  t.match(alone, [{ agentMs: 0 }])
})

t.test('what hangs is killed and counted as failed', async (t) => {
  const hang = makePlugin('hang', 'exec sleep 60')
  const { calls } = await runJob([contender(hang, { verbs: ['VERSION'] })], { limitSeconds: 1 })
  t.match(calls, [{ failed: 1, exit: 128 + 9 }])
})

t.test('the figure of a program that times itself is its own', async (t) => {
  const timed = makePlugin('timed', `echo '{"milliseconds":0.125}'`)
  const { calls } = await runJob([contender(timed, { verbs: ['VERSION'], clock: 'inside' })])
  t.equal(calls[0]!.ms, 0.125)
})

t.test('a program that is not there is the fault of the job', async (t) => {
  const none = join(t.testdir(), 'none')
  const { fault } = await runJob([contender(none, { verbs: ['VERSION'] })])
  t.match(fault, `cannot start ${none}: No such file`)
})

t.test('an order to stop ends the harness', async (t) => {
  const stop = new AbortController()
  const hang = contender(makePlugin('long', 'exec sleep 20'), { verbs: ['VERSION'] })
  const counts = { rounds: 1, warmup: 0, seed: 1, limitSeconds: 30 }
  const job = { pods: '', ...counts, order: 'verbs', contenders: [hang] } as const
  const running = measure(harness, job, () => undefined, stop.signal)
  stop.abort(new Error('stopped'))
  await t.rejects(running, { message: 'stopped' })
})

t.test('the kernel floor leaves what it says, and nothing after DEL', async (t) => {
  const floor = compileFloor(directory)
  const node = makeNetns('bench-floor')
  t.teardown(() => node.close())
  const pod = makeNetns('bench-pod')
  t.teardown(() => pod.close())
  const sets = ['guard4 { type ifname . ipv4_addr; }', 'guard6 { type ifname . ipv6_addr; }']
  const masquerade = ['masquerade4 { type ipv4_addr; }', 'masquerade6 { type ipv6_addr; }']
  const table = [...sets, ...masquerade].map((set) => `set ${set}`).join('\n')
  t.equal(node.exec(['nft', '-f', '-'], { input: `table inet floor {\n${table}\n}\n` }).code, 0)
  const call = (verb: string) =>
    node.exec([floor, 'routed', 'masq', 'dual'], {
      env: { CNI_COMMAND: verb, CNI_NETNS: pod.path, CNI_CONTAINERID: 'x-9' },
    })
  t.match(call('ADD'), { code: 0, stdout: /^\{"milliseconds":\d/, stderr: '' })
  t.match(node.ip('route'), /^10\.88\.0\.10 dev floor9 proto 116/m)
  t.match(node.ip('-6', 'neigh'), /fd00:88::a dev floor9 lladdr 02:00:00:00:00:02 PERMANENT/)
  t.match(pod.ip('route'), /default via 10\.88\.0\.1 dev eth0/)
  t.match(pod.ip('-6', 'addr'), /fd00:88::a\/128 scope global nodad/)
  t.match(node.exec(['nft', 'list', 'ruleset']).stdout, /"floor9" \. fd00:88::a/)
  t.match(call('DEL'), { code: 0, stderr: '' })
  t.same(
    pod.ipJson('link').map(({ ifname }) => ifname),
    ['lo'],
  )
  t.notMatch(node.exec(['nft', 'list', 'ruleset']).stdout, /elements/)
})

t.test('filled leases are beyond doubt when the next address comes after them', async (t) => {
  fillLeases(directory, 300)
  t.equal(readFileSync(join(directory, 'bench/10.88.1.45'), 'utf8'), 'filled-299\r\neth0')
  t.equal(readFileSync(join(directory, 'bench/last_reserved_ip.0'), 'utf8'), '10.88.1.45')
  t.ok(isBeyondFilled('{"ips":[{"address":"10.88.1.46/32"}]}', 300))
  t.notOk(isBeyondFilled('{"ips":[{"address":"10.88.1.45/32"}]}', 300))
  t.notOk(isBeyondFilled('{"ips":[{"address":"10.88.0.2/16"}]}', 300))
})

t.test('a value of a job stays on its line, and a line that is no call is refused', async (t) => {
  t.throws(() => encodeJob({ ...({} as Job), contenders: [], pods: 'a\nb' }), /line break/)
  t.throws(() => decodeCall('{"verb":"ADD"}'), /Not a line of the harness/)
})
