import { createHash, randomBytes } from 'node:crypto'
import { readlinkSync } from 'node:fs'
import t from 'tap'
import { makeNetns, type Netns } from '../support/netns.ts'
import { type Asked, type Saw, Stage, type Step } from './stage.ts'

// What the agent is told: arguments, variables, standard input and descriptors.

const takenUp: readonly Step[] = [['request'], ['say', 'R'], ['hear'], ['say', 'D\0{}']]

const stage = new Stage()
let netns: Netns
t.before(async () => {
  netns = makeNetns('launcher')
  netns.ip('link', 'add', 'pod0', 'type', 'bridge')
  await stage.startAgent(...takenUp)
})
t.teardown(async () => {
  await stage.close()
  netns.close()
})

async function requestOf(asked: Asked): Promise<Saw> {
  const { code, stdout } = await stage.callTaken(asked)
  if (code !== 0 || stdout.toString() !== '{}') throw new Error(`exit ${code}: ${stdout}`)
  return (await stage.seen('request'))[0] as Saw
}

const attempt = /^TULLE_ATTEMPT=[0-9a-f]{16}$/
const digestOf = (bytes: string | Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex')

t.test('arguments and variables', async (t) => {
  type Case = Asked & { readonly why: string; readonly strings: readonly string[] }
  const cases: readonly Case[] = [
    { why: 'nothing else', strings: [stage.path, 'CNI_COMMAND=ADD'] },
    {
      why: 'another name, and words behind it, which no plugin has',
      argv0: '/opt/cni/bin/bridge',
      words: ['x'],
      strings: ['/opt/cni/bin/bridge', 'CNI_COMMAND=ADD'],
    },
    {
      why: 'all of CNI_, and of the rest what traces need',
      env: {
        CNI_IFNAME: 'eth0',
        CNI_OF_TOMORROW: '=',
        CNI: '1',
        PATH: '/bin',
        TRACEPARENT: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        TRACESTATE: 'a=b',
        BAGGAGE: '',
        TRACEPARENTS: 'x',
        XCNI_ARGS: 'x',
        TULLE_ATTEMPT: 'of another',
      },
      strings: [
        stage.path,
        'CNI_COMMAND=ADD',
        'CNI_IFNAME=eth0',
        'CNI_OF_TOMORROW==',
        'TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        'TRACESTATE=a=b',
        'BAGGAGE=',
      ],
    },
    { why: 'an empty name', argv0: '', strings: ['', 'CNI_COMMAND=ADD'] },
  ]
  for (const { why, strings, ...asked } of cases) {
    const saw = await requestOf(asked)
    const said = saw.strings as string[]
    t.match(said.pop(), attempt, why)
    t.same(said, strings, why)
  }
})

t.test('each call has a name of its own', async (t) => {
  const requests = [await requestOf({}), await requestOf({}), await requestOf({})]
  const names = requests.map(({ strings }) => (strings as string[]).at(-1))
  t.equal(new Set(names).size, 3)
})

t.test('standard input', async (t) => {
  const cases: readonly (readonly [why: string, input: Uint8Array])[] = [
    ['none', Buffer.alloc(0)],
    ['one byte', Buffer.from('{')],
    ['with a NUL', Buffer.from('a\0b')],
    ['100 KB of anything', randomBytes(100_000)],
    ['almost all of a packet', randomBytes(128 * 1024 - 400)],
  ]
  for (const [why, input] of cases) {
    const { inputBytes, inputDigest } = await requestOf({ input })
    t.same([inputBytes, inputDigest], [input.length, digestOf(input)], why)
  }
})

t.test('descriptors', async (t) => {
  const own = readlinkSync('/proc/self/ns/net')
  type Case = readonly [why: string, path: string | undefined, fault: number, fds: string[]]
  const cases: readonly Case[] = [
    ['no namespace named', undefined, 0, [own]],
    ['an empty name', '', 0, [own]],
    ['a namespace', netns.path, 0, [own, netns.path, 'lo pod0']],
    ['one that is gone', '/run/netns/gone', 2, [own]],
    ['what podman says', 'dummy', 2, [own]],
    ['no namespace', '/dev/null', 22, [own, '/dev/null']],
  ]
  for (const [why, path, fault, fds] of cases) {
    const { header, fds: seen } = await requestOf(path === undefined ? {} : { env: nets(path) })
    t.match(header, new RegExp(`^tulle-cni 1 \\S+\\+[0-9a-f]{12} ${fds.length} ${fault}$`), why)
    t.same(seen, fds, why)
  }
})

const nets = (path: string): Record<string, string> => ({ CNI_NETNS: path })

t.test('whatever the caller has closed', async (t) => {
  // A descriptor that took the place of standard output would be written to.
  const words = ['sh', '-c', `exec "$@" 2>&- >${stage.folder}/out`, 'sh']
  const { code } = await stage.callTaken({ env: nets(netns.path), under: words })
  const [saw] = await stage.seen('request')
  t.equal(code, 0)
  t.match(saw?.fds, [/^net:/, netns.path, 'lo pod0'])
})
