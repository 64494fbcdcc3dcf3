import t from 'tap'
import { ask, attach } from '../support/attachment.ts'
import { withHost } from '../support/host.ts'
import { watchResidue } from '../support/residue.ts'
import { outcomeFaults } from './outcome.ts'

t.setTimeout(240_000)

const conf = (rest: string): string =>
  `{"cniVersion":"1.1.0","name":"net","type":"tulle","mode":"routed"${rest}}`
const deep = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels)
const long = (length: number): string => 'a'.repeat(length)

/** Inputs that no generator makes: too deep, too long, too many. */
const monsters: readonly Readonly<{ why: string; stdin: string }>[] = [
  ...[1_000, 10_000, 200_000].flatMap((levels) => [
    { why: `${levels} levels in an unknown key`, stdin: conf(`,"x":${deep(levels)}`) },
    { why: `${levels} levels in mtu`, stdin: conf(`,"mtu":${deep(levels)}`) },
    { why: `${levels} levels in ipam.ranges`, stdin: conf(`,"ipam":{"ranges":${deep(levels)}}`) },
    { why: `${levels} levels in prevResult`, stdin: conf(`,"prevResult":${deep(levels)}`) },
    { why: `${levels} levels and no end`, stdin: '['.repeat(levels) },
    { why: `${levels} objects deep`, stdin: '{"ipam":'.repeat(levels) + '1' + '}'.repeat(levels) },
  ]),
  { why: 'a name of 1 MB', stdin: conf(',"name":"' + long(1e6) + '"') },
  { why: 'a name of 1 MB with a slash', stdin: conf(',"name":"/' + long(1e6) + '"') },
  { why: 'a string of 20 MB', stdin: conf(',"x":"' + long(2e7) + '"') },
  {
    why: '100,000 keys',
    stdin: conf(Array.from({ length: 1e5 }, (_, at) => `,"k${at}":1`).join('')),
  },
  { why: '100,000 times one key', stdin: conf(',"mtu":0'.repeat(1e5)) },
  {
    why: '100,000 destinations',
    stdin: conf(`,"nonMasqueradeCIDRs":[${'"x",'.repeat(1e5)}"y"]`),
  },
  {
    why: '20,000 ranges',
    stdin: conf(
      `,"ipam":{"type":"host-local","ranges":[[${'{"subnet":"10.0.0.0/8"},'.repeat(2e4)}{}]]}`,
    ),
  },
  { why: 'a prototype', stdin: conf(',"__proto__":{"mode":"x"},"constructor":{"prototype":{}}') },
  {
    why: 'a prototype within',
    stdin: conf(',"ipam":{"__proto__":{"type":"x"},"type":"host-local"}'),
  },
  { why: 'a byte order mark', stdin: `\ufeff${conf('')}` },
  { why: 'UTF-16', stdin: Buffer.from(conf(''), 'utf16le').toString('latin1') },
  { why: 'an integer that is none', stdin: conf(',"mtu":1e400') },
  { why: 'a number of 100,000 digits', stdin: conf(`,"mtu":${'1'.repeat(1e5)}`) },
  { why: 'lone surrogates', stdin: conf(',"dns":{"domain":"\\ud800"}') },
]

t.test('inputs too deep, too long, too many', (t) =>
  withHost((host) => {
    const pod = host.pod()
    const left = watchResidue(host, [pod.netns])
    for (const { why, stdin } of monsters) {
      for (const verb of ['ADD', 'DEL', 'CHECK'] as const) {
        const ran = attach(verb, pod, stdin)
        const input = { env: { CNI_COMMAND: verb }, stdin: new TextEncoder().encode(stdin) }
        t.same(outcomeFaults(input, ran), [], `${verb} with ${why}`)
        t.ok(ran.stdout.length < 100_000, `${verb} with ${why}: ${ran.stdout.length} characters`)
      }
      const ran = ask('STATUS', host, stdin)
      const input = { env: { CNI_COMMAND: 'STATUS' }, stdin: new TextEncoder().encode(stdin) }
      t.same(outcomeFaults(input, ran), [], `STATUS with ${why}`)
    }
    t.same(left(), [])
  }),
)
