import { test } from 'tap'
import { PolicySocket } from '../../src/kernel/policy-socket.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { Lodger } from './node.ts'
import { policed } from './policed-node.ts'
import { fullProgram, program } from './programs.ts'
import { refusalOf } from './sockets.ts'

function withLoaded(use: (room: { netns: Netns; socket: PolicySocket }) => void): void {
  const netns = makeNetns('policy')
  const lodger = new Lodger(netns)
  try {
    const socket = new PolicySocket(lodger.native, () => 0.5)
    socket.load(fullProgram, policed)
    use({ netns, socket })
    socket.close()
  } finally {
    lodger.close()
    netns.close()
  }
}

function nft(netns: Netns, ...words: readonly string[]): void {
  const done = netns.exec(['nft', ...words])
  if (done.code !== 0) throw new Error(done.stderr)
}

const table = ['inet', 'tulle-policy'] as const
const elements = (set: string, ...those: readonly string[]) => [...table, set, ...those]

for (const { why, words } of [
  { why: 'an identity', words: ['delete', 'element', ...elements('identity4', '{ 10.1.0.3 }')] },
  { why: 'a pod’s verdict', words: ['delete', 'element', ...elements('ingress4', '{10.1.0.1}')] },
  { why: 'a closed address', words: ['delete', 'element', ...elements('policed6', '{fd00:1::2}')] },
  {
    why: 'what a policy allows',
    words: [
      ...['delete', 'element'],
      ...elements('in-0123456789ab.blocks4.ranges', '{ 10.0.0.0/24 . 0-255 . 0-65535 }'),
    ],
  },
  {
    why: 'an element more',
    words: ['add', 'element', ...elements('in-0123456789ab.identities.whole', '{ 0x00000103 }')],
  },
  { why: 'a profile’s rules', words: ['flush', 'chain', ...table, 'in-0123456789ab'] },
  { why: 'the generation', words: ['flush', 'chain', ...table, 'current'] },
  { why: 'a rule more', words: ['insert', 'rule', ...table, 'postrouting', 'accept'] },
  { why: 'the whole table', words: ['delete', 'table', ...table] },
  { why: 'all of nftables', words: ['flush', 'ruleset'] },
])
  test(`drift is seen: ${why}`, async (t) =>
    withLoaded(({ netns, socket }) => {
      t.ok(socket.isAsCommitted(fullProgram, policed), 'nobody has changed anything')
      nft(netns, 'add', 'table', 'inet', 'somebody-elses')
      t.ok(socket.isAsCommitted(fullProgram, policed), 'nor has who changes his own')
      nft(netns, ...words)
      t.notOk(socket.isAsCommitted(fullProgram, policed))
      const { generation } = socket
      socket.load(fullProgram, policed)
      t.ok(socket.isAsCommitted(fullProgram, policed), 'and is mended by a whole load')
      t.not(socket.generation, generation)
    }))

test('a table that was read back is not read again for nothing', async (t) => {
  const netns = makeNetns('policy')
  let sent = 0
  const lodger = new Lodger(netns, (bytes) => {
    sent += 1
    return bytes
  })
  try {
    const socket = new PolicySocket(lodger.native)
    socket.load(fullProgram, policed)
    nft(netns, 'add', 'table', 'inet', 'somebody-elses')
    const asked = [1, 2].map(() => {
      sent = 0
      t.ok(socket.isAsCommitted(fullProgram, policed))
      return sent
    })
    t.ok((asked[0] ?? 0) > 10, `${asked[0]} questions`)
    t.equal(asked[1], 1)
  } finally {
    lodger.close()
    netns.close()
  }
})

test('a change of what is not there is refused, and changes nothing', async (t) =>
  withLoaded(({ netns, socket }) => {
    const { generation } = socket
    nft(netns, 'delete', 'element', ...elements('known4', '{ 10.1.0.3 }'))
    const refusal = refusalOf(() => socket.change(fullProgram, program({})))
    t.match(refusal?.message, 'Cannot change the policies in nftables: ENOENT')
    t.equal(socket.generation, generation)
  }))

test('a process that comes later goes on from the generation in the kernel', async (t) => {
  const netns = makeNetns('policy')
  const lodger = new Lodger(netns)
  try {
    const first = new PolicySocket(lodger.native, () => 0.5)
    t.equal(first.generation, undefined)
    t.throws(() => first.change(program({}), fullProgram), /has not loaded/)
    first.load(fullProgram, [])
    const second = new PolicySocket(lodger.native, () => 0)
    second.load(fullProgram, [])
    t.equal(second.generation, (first.generation ?? 0) + 1)
    t.equal(first.generation, 2 ** 19)
  } finally {
    lodger.close()
    netns.close()
  }
})

test('generations go round, and never to 0: nothing has allowed such a connection', async (t) =>
  withLoaded(({ netns }) => {
    const lodger = new Lodger(netns)
    nft(netns, 'delete', 'table', ...table)
    const last = new PolicySocket(lodger.native, () => 1 - 1e-12)
    last.load(fullProgram, [])
    t.equal(last.generation, 2 ** 20 - 1)
    last.load(fullProgram, [])
    t.equal(last.generation, 1)
    t.ok(last.isAsCommitted(fullProgram, []))
    lodger.close()
  }))
