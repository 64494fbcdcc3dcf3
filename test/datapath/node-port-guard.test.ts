import { test } from 'tap'
import { formatPrefix, parsePrefix } from '../../src/base/prefix.ts'
import { type GuardedPorts, guardSpans } from '../../src/datapath/node-port-guard.ts'

const guard = (
  protocol: number,
  [first, last]: readonly [number, number],
  ...from: readonly string[]
): GuardedPorts => ({
  first,
  last,
  protocol,
  from: from.map((text) => parsePrefix(text) ?? odd(text)),
})
function odd(text: string): never {
  throw new Error(`Cannot use ${text}`)
}
const plain = ({ first, last, protocol, from }: GuardedPorts) =>
  `${protocol} ${first}-${last} ${from.map(formatPrefix).join(' ')}`.trim()

for (const { why, wishes, want } of [
  {
    why: 'one range as it is',
    wishes: [guard(6, [30000, 32767], '10.0.0.0/8')],
    want: ['6 30000-32767 10.0.0.0/8'],
  },
  {
    why: 'a port within a range has the clients of both, and its neighbours have not',
    wishes: [guard(6, [30000, 32767], '10.0.0.0/8'), guard(6, [30080, 30080], '192.0.2.0/24')],
    want: [
      '6 30000-30079 10.0.0.0/8',
      '6 30080-30080 10.0.0.0/8 192.0.2.0/24',
      '6 30081-32767 10.0.0.0/8',
    ],
  },
  {
    why: 'clients that are within others are those',
    wishes: [guard(6, [80, 90], '10.0.0.0/8', '10.1.0.0/16'), guard(6, [85, 85], '10.2.0.0/16')],
    want: ['6 80-90 10.0.0.0/8'],
  },
  {
    why: 'protocols by themselves, the last port too',
    wishes: [guard(17, [65535, 65535]), guard(6, [65535, 65535], 'fd00::/8')],
    want: ['17 65535-65535', '6 65535-65535 fd00::/8'],
  },
  {
    why: 'a gap between two ranges is not guarded',
    wishes: [guard(6, [1, 2]), guard(6, [4, 5])],
    want: ['6 1-2', '6 4-5'],
  },
])
  test(`guarded ports: ${why}`, (t) => {
    t.same(guardSpans(wishes).map(plain), want)
    t.end()
  })
