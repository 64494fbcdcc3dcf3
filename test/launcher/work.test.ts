import { constants } from 'node:fs'
import t from 'tap'
import { makeNetns, type Netns, run } from '../support/netns.ts'
import { Stage, type Step, toldBy } from './stage.ts'

// What is done for the agent, and what becomes of its answer.

let netns: Netns
t.before(() => {
  netns = makeNetns('launcher')
  netns.ip('link', 'add', 'pod0', 'type', 'bridge')
})
t.teardown(() => netns.close())

const begun = (...more: readonly Step[]): readonly Step[] =>
  [...[['request'], ['say', 'R'], ['hear'], ...more]] as readonly Step[]

async function withAgent(
  steps: readonly Step[],
  work: (stage: Stage) => Promise<void>,
): Promise<void> {
  const stage = new Stage()
  try {
    await stage.startAgent(...steps)
    await work(stage)
  } finally {
    await stage.close()
  }
}

t.test('exit codes and standard output', async (t) => {
  const cases: readonly (readonly [said: string, code: number, output: string])[] = [
    ['\0', 0, ''],
    ['\0{}\n', 0, '{}\n'],
    ['\x01{"code":7}', 1, '{"code":7}'],
    ['\x7f\0\0', 127, '\0\0'],
  ]
  for (const [said, code, output] of cases)
    await withAgent(begun(['say', `D${said}`]), async (stage) => {
      const ended = await stage.callTaken()
      t.same([ended.code, `${ended.stdout}`, ended.stderr], [code, output, ''], output)
    })
})

t.test('notes go to standard error as they come', (t) =>
  withAgent(
    begun(['say', 'None\n'], ['say', 'N'], ['say', 'Ntwo'], ['say', 'D\0{}']),
    async (stage) => {
      const { code, stdout, stderr } = await stage.callTaken()
      t.same([code, `${stdout}`, stderr], [0, '{}', 'one\ntwo'])
    },
  ),
)

t.test('files and sockets of the pod', async (t) => {
  const ofPod = '/proc/sys/net/ipv4/conf/pod0/forwarding'
  type Case = readonly [asked: string, answer: Readonly<Record<string, string>>]
  const cases: readonly Case[] = [
    [`Or${ofPod}`, { text: 'F', fd: ofPod, read: '0\n' }],
    [`Ow${ofPod}`, { text: 'F', fd: ofPod, read: 'Bad file descriptor' }],
    ['Or/proc/sys/net/ipv4/conf/gone/forwarding', { text: 'E2' }],
    ['Or/proc/sys/net/ipv4/conf/..d/forwarding', { text: 'E2' }],
    ['Or/proc/sys/net/../kernel/osrelease', { text: 'E13' }],
    ['Or/proc/sys/net/ipv4/../../kernel/osrelease', { text: 'E13' }],
    ['Or/proc/sys/net/ipv4/..', { text: 'E13' }],
    ['Or/proc/sys/kernel/osrelease', { text: 'E13' }],
    ['Or/etc/hostname', { text: 'E13' }],
    ['Or', { text: 'E13' }],
    [`Ox${ofPod}`, { text: 'E13' }],
    ['O', { text: 'E13' }],
    ['S0', { text: 'F', fd: 'lo pod0' }],
    ['S12', { text: 'F', fd: 'AF_NETLINK 12' }],
    ['S9999', { text: 'E93' }],
    ['Sx', { text: 'E22' }],
  ]
  const steps = begun(...cases.map(([asked]): Step => ['ask', asked]), ['say', 'D\0'])
  await withAgent(steps, async (stage) => {
    t.equal((await stage.callTaken({ env: { CNI_NETNS: netns.path } })).code, 0)
    for (const [index, { call, saw, ...answer }] of (await stage.seen('answer')).entries())
      t.same(answer, cases[index]?.[1], cases[index]?.[0] ?? '')
    t.equal((await stage.seen('answer')).length, cases.length)
  })
  const none = begun(['ask', 'S0'], ['ask', `Or${ofPod}`], ['say', 'D\0'])
  await withAgent(none, async (stage) => {
    await stage.callTaken()
    const answers = (await stage.seen('answer', 2)).map(({ text }) => text)
    t.same(answers, ['E6', 'E6'], 'none of the host, where no namespace is named')
  })
})

t.test('a caller that does not listen: undone, with what that needs', async (t) => {
  const ofPod = '/proc/sys/net/ipv4/conf/pod0/forwarding'
  const steps = begun(['say', 'D\0{}'], ['hear'], ['ask', `Or${ofPod}`], ['say', 'Nundone\n'])
  const closings = [
    ['a closed pipe', 'sleep 0.3 | { "$@"; echo "code $?" >&2; } | true'],
    ['a device that is full', '"$@" >/dev/full; echo "code $?" >&2'],
  ] as const
  for (const [why, script] of closings)
    await withAgent(steps, async (stage) => {
      const under = ['sh', '-c', script, 'sh']
      const { stdout, stderr } = await stage.callTaken({ under, env: { CNI_NETNS: netns.path } })
      t.same([`${stdout}`, stderr], ['', 'undone\ncode 1\n'], why)
      t.match(
        (await stage.seen('word')).map(({ text }) => text),
        ['G', 'U'],
        why,
      )
      t.match(await stage.seen('answer'), [{ text: 'F', read: '0\n' }], why)
    })
})

t.test('a caller that has closed standard output: as if it were /dev/null', (t) =>
  withAgent(begun(['say', 'D\0{}'], ['hear']), async (stage) => {
    const { stderr } = await stage.callTaken({ under: ['sh', '-c', '"$@" >&-; echo $? >&2', 'sh'] })
    t.equal(stderr, '0\n')
    t.match(
      (await stage.seen('word')).map(({ text }) => text),
      ['G'],
    )
  }),
)

t.test('a caller that listens slowly hears all of it', (t) =>
  withAgent(begun(['fill', 120_000]), async (stage) => {
    // A pipe holds 64 KB; with O_NONBLOCK a write of more is refused, not waited for.
    const script = [
      'import fcntl, os, subprocess, sys, time',
      'out, into = os.pipe()',
      'fcntl.fcntl(into, fcntl.F_SETFL, int(sys.argv[1]))',
      'child = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=into)',
      'os.close(into)',
      'time.sleep(0.3)',
      'length = 0',
      'while given := os.read(out, 5000): length += len(given)',
      'print(child.wait(), length)',
    ].join('\n')
    for (const flags of [0, constants.O_NONBLOCK]) {
      const { stdout } = await stage.callTaken({
        under: ['/usr/bin/python3', '-c', script, `${flags}`],
      })
      t.equal(`${stdout}`, '0 120000\n')
    }
  }),
)

t.test('a caller that speaks slowly is heard to the end', (t) =>
  withAgent(begun(['say', 'D\0']), async (stage) => {
    const script = 'import os,sys\nos.set_blocking(0, False)\nos.execv(sys.argv[1], sys.argv[1:])'
    for (const under of [[], ['/usr/bin/python3', '-c', script]]) {
      const { code } = await stage.callTaken({ under, input: ['{"a"', ':1', '}'] })
      t.equal(code, 0)
      t.match(await stage.seen('request'), [{ inputBytes: 7 }])
    }
  }),
)

t.test('stopped and continued, it goes on', (t) =>
  withAgent(begun(['stop', 1], ['say', 'D\0{}']), async (stage) => {
    const { child, ended } = await stage.startTaken({ env: { CNI_NETNS: netns.path } })
    await stage.seen('stopping')
    child.kill('SIGSTOP')
    child.kill('SIGCONT')
    t.same(`${(await ended).stdout}`, '{}')
  }),
)

t.test('300 at once', (t) =>
  withAgent(begun(['say', 'D\0{}']), async (stage) => {
    const count = 300
    const env = { CNI_NETNS: netns.path }
    const input = 'x'.repeat(10_000)
    const calls = Array.from({ length: count }, () => stage.call({ env, input }))
    const ends = await Promise.all(calls)
    // On a busy machine some wait in vain to be taken up: those are Node's.
    const byAgent = ends.filter(({ code, stdout }) => code === 0 && `${stdout}` === '{}')
    const byNode = ends.filter((ended) => toldBy(ended)?.input.length === input.length)
    t.equal(byAgent.length + byNode.length, count, `${byAgent.length} by the agent`)
    const goes = stage.saw.filter(({ saw, text }) => saw === 'word' && text === 'G')
    t.equal(goes.length, byAgent.length, 'by the agent or by Node, never by both')
    const requests = stage.saw.filter(({ saw }) => saw === 'request')
    const names = requests.map(({ strings }) => (strings as string[]).at(-1))
    t.equal(new Set(names).size, requests.length)
    t.equal(run(['pgrep', '-f', stage.path]).stdout, '', 'none is left')
  }),
)

t.test('a caller that goes away takes its launcher with it, and the agent hears of it', (t) =>
  withAgent(begun(['hear'], ['fds']), async (stage) => {
    const { child } = await stage.startTaken({ env: { CNI_NETNS: netns.path } })
    child.kill('SIGKILL')
    t.match(await stage.seen('word', 2), [{ text: 'G' }, { text: '' }])
  }),
)
