import { test } from 'tap'
import { ConntrackSocket } from '../../src/kernel/conntrack-socket.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { Lodger } from './node.ts'

// `conntrack` puts entries in and tells which are left: the oracle of what is forgotten.

type Entry = Readonly<{ protocol?: 'tcp' | 'udp'; client: string; host: string; port: number }>

function insert(netns: Netns, { protocol = 'udp', client, host, port }: Entry): void {
  const state = protocol === 'tcp' ? ['--state', 'ESTABLISHED'] : []
  const ends = ['-s', client, '-d', host]
  const ports = ['--sport', '4000', '--dport', String(port)]
  const words = ['-I', '-p', protocol, '-t', '600', ...ends, ...ports, ...state]
  const done = netns.exec(['conntrack', ...words])
  if (done.code !== 0) throw new Error(`Cannot insert: ${done.stderr}`)
}

const left = (netns: Netns): readonly string[] =>
  [
    ...netns
      .exec(['conntrack', '-L'])
      .stdout.matchAll(/^(\w+) .*?src=(\S+) dst=(\S+) sport=4000 dport=(\d+)/gm),
  ].map(([, protocol, client, host, port]) => `${protocol} ${client} ${host} ${port}`)

const entries: readonly Entry[] = [
  { client: '192.0.2.2', host: '192.0.2.1', port: 53 },
  { client: '192.0.2.3', host: '192.0.2.1', port: 53 },
  { client: '192.0.2.2', host: '192.0.2.9', port: 53 },
  { client: '192.0.2.2', host: '192.0.2.1', port: 54 },
  { client: '192.0.2.2', host: '192.0.2.1', port: 13_568 }, // 53 with its bytes swapped
  { client: '2001:db8::2', host: '2001:db8::1', port: 53 },
  { protocol: 'tcp', client: '192.0.2.2', host: '192.0.2.1', port: 53 },
]

const lines = (kept: readonly number[]): readonly string[] =>
  kept.map((at) => {
    const { protocol = 'udp', client = '', host = '', port = 0 } = entries[at] ?? {}
    return `${protocol} ${client} ${host} ${port}`
  })

for (const { why, family, isChosen, forgotten, kept } of [
  {
    why: 'of one port, family and protocol',
    family: 4,
    isChosen: () => true,
    forgotten: 3,
    kept: [3, 4, 5, 6],
  },
  {
    why: 'those that are chosen',
    family: 4,
    isChosen: (target: bigint) => target === 0xc0000209n,
    forgotten: 1,
    kept: [0, 1, 3, 4, 5, 6],
  },
  {
    why: 'IPv6',
    family: 6,
    isChosen: () => true,
    forgotten: 1,
    kept: [0, 1, 2, 3, 4, 6],
  },
] as const)
  test(`entries that are forgotten: ${why}`, async (t) => {
    const netns = makeNetns('conntrack')
    const lodger = new Lodger(netns)
    try {
      for (const entry of entries) insert(netns, entry)
      t.equal(left(netns).length, entries.length, 'all are there')
      const socket = new ConntrackSocket(lodger.native)
      const number = socket.forget({ family, protocol: 17, port: 53 }, ({ original }) =>
        isChosen(original.target.value),
      )
      t.equal(number, forgotten)
      t.strictSame([...left(netns)].sort(), [...lines(kept)].sort())
      t.equal(
        socket.forget({ family, protocol: 17, port: 99 }, () => true),
        0,
        'none of a port that nobody uses',
      )
      socket.close()
    } finally {
      lodger.close()
      netns.close()
    }
  })
