import fc from 'fast-check'
import { test } from 'tap'
import { isName, parseEnvironment, type Variables } from '../../src/cni/environment.ts'
import { holds } from '../base/law.ts'
import { faultOrResult } from '../support/fault-of.ts'

const netns = '/run/netns/pod'
const add: Variables = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: netns,
  CNI_IFNAME: 'eth0',
  CNI_PATH: '/opt/cni/bin',
}
const plus = (more: Variables): Variables => ({ ...add, ...more })

// E2 container, E3 interface, E4 netns, E5 path, E6 args, E7 override, E11 trace context.
const accepted: readonly Readonly<{ why: string; variables: Variables; want: object }>[] = [
  {
    why: 'all of it',
    variables: plus({ CNI_ARGS: 'IP=10.0.0.1;MAC=0a:58:0a:00:00:01' }),
    want: {
      verb: 'ADD',
      container: 'c1',
      netns,
      ifname: 'eth0',
      path: ['/opt/cni/bin'],
      args: [
        ['IP', '10.0.0.1'],
        ['MAC', '0a:58:0a:00:00:01'],
      ],
      mayShareNetns: false,
    },
  },
  {
    why: 'E2: any length, and every character of the pattern',
    variables: plus({ CNI_CONTAINERID: `0${'a_.-Z9'.repeat(60)}` }),
    want: { container: `0${'a_.-Z9'.repeat(60)}` },
  },
  { why: 'E3: 15 letters', variables: plus({ CNI_IFNAME: 'e'.repeat(15) }), want: {} },
  {
    why: 'E3: 15 bytes',
    variables: plus({ CNI_IFNAME: `${'é'.repeat(7)}1` }),
    want: { ifname: `${'é'.repeat(7)}1` },
  },
  { why: 'E3: dots within', variables: plus({ CNI_IFNAME: 'eth0.1' }), want: { ifname: 'eth0.1' } },
  {
    why: 'E4: DEL when the namespace is gone',
    variables: plus({ CNI_COMMAND: 'DEL', CNI_NETNS: '' }),
    want: { verb: 'DEL', netns: '' },
  },
  {
    why: 'E5: without CNI_PATH, for IPAM is built in',
    variables: plus({ CNI_PATH: undefined }),
    want: { path: [] },
  },
  {
    why: 'E5: a list of folders; the empty one is not the working directory',
    variables: plus({ CNI_PATH: '/opt/cni/bin::/usr/lib/cni:' }),
    want: { path: ['/opt/cni/bin', '/usr/lib/cni'] },
  },
  { why: 'E6: no CNI_ARGS', variables: plus({ CNI_ARGS: '' }), want: { args: [] } },
  {
    why: 'E6: what containerd sends, in its random order',
    variables: plus({
      CNI_ARGS: 'K8S_POD_NAME=a;IgnoreUnknown=1;K8S_POD_UID=u;K8S_POD_NAMESPACE=default',
    }),
    want: {
      args: [
        ['K8S_POD_NAME', 'a'],
        ['IgnoreUnknown', '1'],
        ['K8S_POD_UID', 'u'],
        ['K8S_POD_NAMESPACE', 'default'],
      ],
    },
  },
  {
    why: 'E6: unknown keys with IgnoreUnknown, which may stand behind them',
    variables: plus({ CNI_ARGS: 'COLOUR=red;IgnoreUnknown=True' }),
    want: {
      args: [
        ['COLOUR', 'red'],
        ['IgnoreUnknown', 'True'],
      ],
    },
  },
  ...['DEL', 'CHECK'].map((command) => ({
    why: `E6: for ${command} as well`,
    variables: plus({ CNI_COMMAND: command, CNI_ARGS: 'IP=10.0.0.1' }),
    want: { args: [['IP', '10.0.0.1']] },
  })),
  {
    why: 'E6: an empty value',
    variables: plus({ CNI_ARGS: 'IP=' }),
    want: { args: [['IP', '']] },
  },
  { why: 'E7: 1', variables: plus({ CNI_NETNS_OVERRIDE: '1' }), want: { mayShareNetns: true } },
  {
    why: 'E7: any case',
    variables: plus({ CNI_NETNS_OVERRIDE: 'TRUE' }),
    want: { mayShareNetns: true },
  },
  {
    why: 'E7: not yes',
    variables: plus({ CNI_NETNS_OVERRIDE: 'yes' }),
    want: { mayShareNetns: false },
  },
  {
    why: 'VERSION: the dummies that libcni sends are not looked at',
    variables: {
      CNI_COMMAND: 'VERSION',
      CNI_CONTAINERID: '',
      CNI_NETNS: 'dummy',
      CNI_IFNAME: 'dummy',
      CNI_ARGS: 'dummy',
      CNI_PATH: 'dummy',
    },
    want: { verb: 'VERSION', args: [] },
  },
  { why: 'GC is about no pod', variables: { CNI_COMMAND: 'GC' }, want: { container: '' } },
  { why: 'STATUS neither', variables: { CNI_COMMAND: 'STATUS' }, want: { verb: 'STATUS' } },
  {
    why: 'E11: a trace context is let be',
    variables: plus({ TRACEPARENT: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' }),
    want: { verb: 'ADD' },
  },
]

for (const { why, variables, want } of accepted) {
  test(`accepted: ${why}`, async (t) => {
    const { args, ...rest } = parseEnvironment(variables)
    t.match({ ...rest, args: [...args] }, want)
  })
}

const names = [...Object.keys(add), 'CNI_ARGS', 'CNI_NETNS_OVERRIDE']
const commands = ['ADD', 'DEL', 'CHECK', 'STATUS', 'GC', 'VERSION', 'PING']
const word = fc.oneof(fc.string(), fc.constantFrom('', 'c1', 'eth0', 'IP=1', '1', 'a=b;c=d'))

test('whatever the environment, it is read or refused with code 4 and a remedy', async (t) => {
  const environment = fc
    .tuple(fc.constantFrom(...commands), fc.dictionary(fc.constantFrom(...names), word))
    .map(([command, variables]): Variables => ({ ...variables, CNI_COMMAND: command }))
  holds(
    t,
    fc.property(environment, (variables) => {
      const outcome = faultOrResult(() => parseEnvironment(variables))
      if (!('fault' in outcome)) return
      const { code, message, details } = outcome.fault
      if (code !== 4 || message === '' || details === '') throw new Error(JSON.stringify(outcome))
    }),
  )
})

test('a name is what the specification says', async (t) => {
  const good = new Set('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789')
  const isGood = (text: string): boolean => {
    const letters = [...text]
    return (
      good.has(letters[0] ?? '') && letters.every((one) => good.has(one) || '_.-'.includes(one))
    )
  }
  const letter = fc.oneof(fc.constantFrom(...good, '_', '.', '-', '/', '\n', 'é'), fc.string())
  const text = fc.array(letter, { maxLength: 6 }).map((letters) => letters.join(''))
  holds(
    t,
    fc.property(text, (one) => isName(one) === isGood(one)),
  )
})
