import { randomBytes } from 'node:crypto'
import { readlinkSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { makeNetns, type Netns, run } from '../support/netns.ts'
import { type Asked, Stage, type Step, toldBy } from './stage.ts'

// Wherever the agent does not answer, the Node executable has the call as it came.

let netns: Netns
t.before(() => {
  netns = makeNetns('launcher')
})
t.teardown(() => netns.close())

const own = readlinkSync('/proc/self/ns/net')
const upTo = (...more: readonly Step[]): readonly Step[] => [['request'], ['say', 'R'], ...more]

type Case = {
  readonly why: string
  /** Absent: nobody listens. */
  readonly steps?: readonly Step[]
  readonly prepare?: (stage: Stage) => void
  readonly asked?: Asked & { readonly input?: string | Uint8Array }
  /** Node is told that the attempt was made; undefined: either may be. */
  readonly isMade: boolean | undefined
}

const large = randomBytes(5_000_000)
/** An agent that would: it must not be asked. */
const answered = upTo(['hear'], ['say', 'D\0asked'])
const ask: Step = ['ask', 'Or/proc/sys/net/ipv4/ip_forward']

const cases: readonly Case[] = [
  { why: 'no socket', isMade: false },
  {
    why: 'nobody behind the socket',
    prepare: ({ socket }) => {
      const bind = 'import socket,sys; socket.socket(1, 5).bind(sys.argv[1])'
      run(['/usr/bin/python3', '-c', bind, socket])
    },
    isMade: false,
  },
  {
    why: 'a file in the place of the socket',
    prepare: ({ socket }) => writeFileSync(socket, ''),
    isMade: false,
  },
  {
    why: 'a path that no socket has',
    prepare: (stage) => {
      const socket = `/${'x'.repeat(120)}`
      stage.place({ executable: '/nowhere', socket })
    },
    isMade: false,
  },
  { why: 'silence', steps: [['request'], ['sleep', 3]], isMade: false },
  { why: 'closed at once', steps: [], isMade: false },
  { why: 'closed once it has the request', steps: [['request']], isMade: false },
  { why: 'another word', steps: [['request'], ['say', 'X'], ['sleep', 3]], isMade: false },
  { why: 'more than a word', steps: [['request'], ['say', 'RR'], ['sleep', 3]], isMade: false },
  { why: 'closed after it has taken it up', steps: upTo(), isMade: undefined },
  { why: 'closed after the word to go', steps: upTo(['hear']), isMade: true },
  { why: 'closed between two files', steps: upTo(['hear'], ask), isMade: true },
  {
    why: 'closed without hearing the answer',
    steps: upTo(['hear'], ['say', 'S0']),
    isMade: true,
  },
  { why: 'closed after a note', steps: upTo(['hear'], ['say', 'Nnoted\n']), isMade: true },
  {
    why: 'a word that nobody knows',
    steps: upTo(['hear'], ['say', 'Z'], ['sleep', 3]),
    isMade: true,
  },
  { why: 'an end without a code', steps: upTo(['hear'], ['say', 'D'], ['sleep', 3]), isMade: true },
  {
    why: 'an answer larger than agreed',
    steps: upTo(['hear'], ['fill', 140_000], ['sleep', 3]),
    isMade: true,
  },
  { why: 'much input, no agent', asked: { input: large }, isMade: false },
  { why: 'much input', steps: answered, asked: { input: large }, isMade: false },
  {
    why: 'much input that no packet holds by a byte',
    steps: answered,
    asked: { input: randomBytes(128 * 1024) },
    isMade: false,
  },
  {
    why: 'input that a packet holds',
    steps: upTo(['hear']),
    asked: { input: randomBytes(100_000) },
    isMade: true,
  },
  {
    why: 'variables that no packet holds',
    steps: answered,
    asked: { env: { CNI_ARGS: 'x'.repeat(70_000), CNI_PATH: 'x'.repeat(70_000) } },
    isMade: false,
  },
  {
    why: "a name that is somebody else's attempt",
    steps: upTo(['hear']),
    asked: { env: { TULLE_ATTEMPT: 'old', LAST: '1' } },
    isMade: true,
  },
  {
    why: "somebody else's attempt, and nothing begun",
    asked: { env: { TULLE_ATTEMPT: 'old', LAST: '1' } },
    isMade: false,
  },
  { why: 'no namespace that is there', asked: { env: { CNI_NETNS: '/gone' } }, isMade: false },
]

for (const { why, steps, prepare, asked = {}, isMade } of cases)
  t.test(why, async (t) => {
    const stage = new Stage()
    t.teardown(() => stage.close())
    prepare?.(stage)
    if (steps) await stage.startAgent(...steps)
    const env = { CNI_NETNS: netns.path, SECRET: 'x=y', ...asked.env }
    const input = asked.input ?? '{"a":1}\n'
    const words = ['a', '', 'b c']
    const all = { ...asked, env, input, words, argv0: '/opt/cni/bin/bridge' }
    const ended = await (isMade === true ? stage.callTaken(all) : stage.call(all))
    const told = toldBy(ended)
    if (!told) throw new Error(`not Node: ${ended.code} ${ended.stdout} ${ended.stderr}`)
    t.same(told.words, ['/opt/cni/bin/bridge', ...words])
    t.ok(told.input.equals(Buffer.from(input)), `${told.input.length} bytes of input`)
    const straight = toldBy(await stage.call({ program: stage.executable }))
    t.same([told.fds, told.netns], [straight?.fds, own])
    t.same([told.ignored, straight?.ignored], ['0000000000000000', '0000000000000000'])
    t.equal(ended.stderr, why === 'closed after a note' ? 'noted\n' : '')

    const given = Object.entries({ CNI_COMMAND: 'ADD', ...env })
    const expected = given.map(([name, value]) => `${name}=${value}`)
    const request = stage.saw.findLast(({ saw }) => saw === 'request')
    const attempt = (request?.strings as string[] | undefined)?.at(-1) ?? ''
    const made = expected
      .map((variable) => (variable.startsWith('TULLE_ATTEMPT=') ? attempt : variable))
      .concat('TULLE_ATTEMPT' in env ? [] : [attempt])
    const isTold = told.variables.includes(attempt)
    t.same(told.variables, isTold ? made : expected)
    if (isMade !== undefined) t.equal(isTold, isMade, 'whether the attempt was made')
  })

t.test('an agent that is stopped, before and after it has begun', async (t) => {
  for (const { steps, isBegun } of [
    { steps: [['request'], ['stop', 5]] as const, isBegun: false },
    { steps: upTo(['hear'], ['stop', 5], ['say', 'D\0done']), isBegun: true },
  ]) {
    const stage = new Stage()
    t.teardown(() => stage.close())
    const agent = await stage.startAgent(...steps)
    if (isBegun) {
      const { ended } = await stage.startTaken({ input: 'x' })
      agent.kill('SIGSTOP')
      setTimeout(() => agent.kill('SIGKILL'), 300)
      t.match(toldBy(await ended)?.variables.join(), 'TULLE_ATTEMPT', 'it waits, and is told')
    } else {
      agent.kill('SIGSTOP')
      const ended = await stage.call({ input: 'x' })
      t.equal(toldBy(ended)?.input.toString(), 'x', 'it does not wait for ever')
    }
  }
})

t.test('time to take it up, then everything else', async (t) => {
  const stage = new Stage()
  t.teardown(() => stage.close())
  await stage.startAgent(['request'], ['sleep', 3])
  const traced = 'trace=connect,ppoll,close,setns,memfd_create,execve'
  const trace = ['strace', '-o', `${stage.folder}/trace`, '-e', traced]
  const told = toldBy(await stage.call({ env: { CNI_NETNS: netns.path }, under: trace }))
  t.ok(told, 'it works under strace as well')
  const lines = run(['cat', `${stage.folder}/trace`]).stdout.split('\n')
  const calls = lines.map((line) => line.replace(/\(.*/, '')).slice(0, 8)
  const ends = ['setns', 'memfd_create', 'execve']
  t.same(calls, ['execve', 'connect', 'setns', 'ppoll', 'close', ...ends], lines.join('\n'))
  t.match(lines[3], /tv_nsec=50000000.*= 0 \(Timeout\)/)
})

t.test('no call of a plugin: nobody is asked', async (t) => {
  const stage = new Stage()
  t.teardown(() => stage.close())
  await stage.startAgent(['request'])
  for (const env of [{ CNI_COMMAND: '' }, { CNI_COMMANDS: 'ADD', CNI_COMMAND: '' }]) {
    const told = toldBy(await stage.call({ env, words: ['agent', '--help'], input: 'x' }))
    t.same(told?.words, [stage.path, 'agent', '--help'])
    t.equal(told?.input.toString(), 'x')
  }
  const bare = { under: ['env', '-i'], words: ['status'] }
  t.same(toldBy(await stage.call(bare))?.words, [stage.path, 'status'])
  t.same(stage.saw.length, 1, 'nothing but the word that it is ready')
})

t.test('what the caller has closed stays closed', async (t) => {
  const stage = new Stage()
  t.teardown(() => stage.close())
  for (const steps of [undefined, [['request']] as const, upTo(['hear'])]) {
    if (steps) await stage.startAgent(...steps)
    for (const closing of ['<&-', '2>&-', '<&- 2>&-']) {
      const asked = {
        env: { CNI_NETNS: netns.path },
        under: ['sh', '-c', `exec "$@" ${closing}`, 'sh'],
      }
      const told = toldBy(await stage.call(asked))
      const straight = toldBy(await stage.call({ ...asked, program: stage.executable }))
      t.ok(straight, closing)
      t.same([told?.fds, told?.netns], [straight?.fds, own], `${closing} ${JSON.stringify(steps)}`)
    }
    await stage.stopAgent()
  }
})
