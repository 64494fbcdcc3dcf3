import { test } from 'tap'
import { parseEnvironment, type Variables } from '../../src/cni/environment.ts'
import { faultOf } from '../support/fault-of.ts'

const add: Variables = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/run/netns/pod',
  CNI_IFNAME: 'eth0',
  CNI_PATH: '/opt/cni/bin',
}
const plus = (more: Variables): Variables => ({ ...add, ...more })

type Refused = Readonly<{
  why: string
  variables: Variables
  message: string
  details?: RegExp
}>

const badContainer = 'invalid characters in containerID'
const badIfname = 'invalid interface name'
const missing = (names: string): string => `required env variables [${names}] missing`

// What libcni's skeleton enforces. E1 command, E2 container, E3 interface, E4 netns, E5 path,
// E6 args, E7 override, E8 several faults at once.
const refused: readonly Refused[] = [
  { why: 'E1: no command', variables: {}, message: missing('CNI_COMMAND') },
  { why: 'E1: empty is absent', variables: { CNI_COMMAND: '' }, message: missing('CNI_COMMAND') },
  {
    // libcni matches this text to know a plugin of CNI 0.1.0, which has no VERSION
    why: 'E1: a verb that nobody knows',
    variables: plus({ CNI_COMMAND: 'REMOVE' }),
    message: 'unknown CNI_COMMAND: REMOVE',
    details: /ADD.* VERSION, in capitals/,
  },
  {
    why: 'E1: verbs are upper case',
    variables: plus({ CNI_COMMAND: 'add' }),
    message: 'unknown CNI_COMMAND: add',
  },
  {
    why: 'E1: a name that every object has',
    variables: plus({ CNI_COMMAND: 'constructor' }),
    message: 'unknown CNI_COMMAND: constructor',
  },
  {
    why: 'E2: ADD without container',
    variables: plus({ CNI_CONTAINERID: undefined }),
    message: missing('CNI_CONTAINERID'),
  },
  {
    why: 'E2: a path is no id',
    variables: plus({ CNI_CONTAINERID: '../c1' }),
    message: badContainer,
    details: /CNI_CONTAINERID is "\.\.\/c1"/,
  },
  {
    why: 'E2: starts with a letter or digit',
    variables: plus({ CNI_CONTAINERID: '-c1' }),
    message: badContainer,
  },
  { why: 'E2: ASCII only', variables: plus({ CNI_CONTAINERID: 'cé' }), message: badContainer },
  {
    why: 'E2: a newline at the end is not overlooked',
    variables: plus({ CNI_CONTAINERID: 'c1\n' }),
    message: badContainer,
  },
  {
    why: 'E3: DEL without interface',
    variables: plus({ CNI_COMMAND: 'DEL', CNI_IFNAME: '' }),
    message: missing('CNI_IFNAME'),
  },
  { why: 'E3: .', variables: plus({ CNI_IFNAME: '.' }), message: badIfname },
  { why: 'E3: ..', variables: plus({ CNI_IFNAME: '..' }), message: badIfname },
  {
    why: 'E3: slash, a path in /proc/sys/net',
    variables: plus({ CNI_IFNAME: 'a/b' }),
    message: badIfname,
    details: /CNI_IFNAME is "a\/b"/,
  },
  {
    why: 'E3: colon, an alias of old',
    variables: plus({ CNI_IFNAME: 'eth0:1' }),
    message: badIfname,
  },
  { why: 'E3: blank', variables: plus({ CNI_IFNAME: 'eth 0' }), message: badIfname },
  {
    why: 'E3: Unicode white space too',
    variables: plus({ CNI_IFNAME: 'eth\u20030' }),
    message: badIfname,
  },
  {
    why: 'E3: NEL is white space to Go, not to JavaScript',
    variables: plus({ CNI_IFNAME: 'eth\u00850' }),
    message: badIfname,
  },
  { why: 'E3: 16 letters', variables: plus({ CNI_IFNAME: 'e'.repeat(16) }), message: badIfname },
  {
    why: 'E3: bytes are counted, not letters',
    variables: plus({ CNI_IFNAME: 'é'.repeat(8) }),
    message: badIfname,
  },
  { why: 'E4: ADD', variables: plus({ CNI_NETNS: '' }), message: missing('CNI_NETNS') },
  {
    why: 'E4: CHECK',
    variables: plus({ CNI_COMMAND: 'CHECK', CNI_NETNS: undefined }),
    message: missing('CNI_NETNS'),
  },
  {
    why: 'E6: no = in a pair',
    variables: plus({ CNI_ARGS: 'IgnoreUnknown' }),
    message: 'invalid CNI_ARGS',
    details: /"IgnoreUnknown"/,
  },
  {
    why: 'E6: two = in a pair',
    variables: plus({ CNI_ARGS: 'IP=10.0.0.1;MAC=a=b' }),
    message: 'invalid CNI_ARGS',
    details: /"MAC=a=b"/,
  },
  {
    why: 'E6: a ; at the end is an empty pair',
    variables: plus({ CNI_ARGS: 'IP=10.0.0.1;' }),
    message: 'invalid CNI_ARGS',
  },
  {
    why: 'E6: an unknown key',
    variables: plus({ CNI_ARGS: 'IP=10.0.0.1;COLOUR=red' }),
    message: 'unknown args [COLOUR=red]',
    details: /IgnoreUnknown=1/,
  },
  {
    why: 'E6: keys are case-sensitive',
    variables: plus({ CNI_ARGS: 'ip=10.0.0.1' }),
    message: 'unknown args [ip=10.0.0.1]',
  },
  {
    why: 'E6: IgnoreUnknown=0 does not ignore',
    variables: plus({ CNI_ARGS: 'IgnoreUnknown=0;COLOUR=red' }),
    message: 'unknown args [COLOUR=red]',
  },
  {
    why: 'E6: a name that every object has is as unknown',
    variables: plus({ CNI_ARGS: '__proto__=1;constructor=2' }),
    message: 'unknown args [__proto__=1 constructor=2]',
  },
  {
    why: 'E8: all that is missing, together',
    variables: { CNI_COMMAND: 'ADD' },
    message: missing('CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME'),
    details: /CNI_CONTAINERID and CNI_NETNS and CNI_IFNAME/,
  },
  {
    why: 'E8: DEL misses no netns',
    variables: { CNI_COMMAND: 'DEL' },
    message: missing('CNI_CONTAINERID,CNI_IFNAME'),
  },
  {
    why: 'E8: a malformed id aborts at once, whatever is missing behind it',
    variables: { CNI_COMMAND: 'ADD', CNI_CONTAINERID: '../c1' },
    message: badContainer,
  },
  {
    why: 'E8: so does a malformed interface name, whatever is missing before it',
    variables: { CNI_COMMAND: 'ADD', CNI_IFNAME: 'a/b' },
    message: badIfname,
  },
]

for (const { why, variables, message, details } of refused) {
  test(`refused: ${why}`, async (t) => {
    const fault = faultOf(() => parseEnvironment(variables))
    t.equal(fault.code, 4)
    t.equal(fault.message, message)
    t.match(fault.details, details ?? /./)
  })
}
