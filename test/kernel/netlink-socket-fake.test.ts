import { test } from 'tap'
import { NETLINK_ROUTE, NetlinkSocket } from '../../src/kernel/netlink-socket.ts'
import { KernelRefusal } from '../../src/kernel/refusal.ts'
import { dumpLinks, getLink, type IfIndex, setLink } from '../../src/wire/rtnl/link.ts'
import { type Answer, datagram, done, FakeNative, item, verdict } from './fake-native.ts'
import { refusalOf } from './sockets.ts'

// What a kernel can not be made to do on demand: the same contract, answers told beforehand.

const INTERRUPTED = 0x12 // NLM_F_MULTI | NLM_F_DUMP_INTR
const change = setLink({ index: 1 as IfIndex, up: true })

function withFake(answers: readonly Answer[]): { fake: FakeNative; socket: NetlinkSocket } {
  const fake = new FakeNative(answers)
  return { fake, socket: new NetlinkSocket(fake.native, -1, NETLINK_ROUTE) }
}
const texts = (messages: readonly { readonly body: Uint8Array }[]): readonly string[] =>
  messages.map(({ body }) => Buffer.from(body).toString())

const good: Answer = [datagram(item('a'), item('b')), datagram(item('c'), done())]
for (const { why, answers } of [
  { why: 'nothing happened', answers: [good] },
  {
    why: 'its first message is marked',
    answers: [[datagram(item('x', INTERRUPTED), item('y')), datagram(item('z'), done())], good],
  },
  {
    why: 'a message of its second datagram is marked',
    answers: [
      [datagram(item('x')), datagram(item('y'), item('z', INTERRUPTED)), datagram(done())],
      good,
    ],
  },
  {
    why: 'its end alone is marked',
    answers: [[datagram(item('x')), datagram(done(INTERRUPTED))], good],
  },
  {
    why: 'mark and end come in one datagram',
    answers: [[datagram(item('x', INTERRUPTED), done())], good],
  },
  {
    why: 'it was interrupted seven times',
    answers: [...Array<Answer>(7).fill([datagram(item('x', INTERRUPTED)), datagram(done())]), good],
  },
] as const)
  test(`a dump is whole, though ${why}`, async (t) => {
    const { fake, socket } = withFake(answers)
    t.strictSame(texts(socket.ask('list', dumpLinks())), ['a', 'b', 'c'])
    t.equal(fake.sent.length, answers.length)
    t.equal(fake.unread, 0)
  })

test('a dump that is interrupted eight times is given up, and says so', async (t) => {
  const torn: Answer = [datagram(item('x', INTERRUPTED)), datagram(done(INTERRUPTED))]
  const { fake, socket } = withFake(Array<Answer>(8).fill(torn))
  const refusal = refusalOf(() => socket.ask('list links', dumpLinks()))
  t.match(
    refusal?.message,
    /Cannot list links \(8 dumps were interrupted .*NLM_F_DUMP_INTR\): EAGAIN/,
  )
  t.equal(refusal?.errno, 11)
  t.equal(fake.sent.length, 8)
  t.equal(fake.unread, 0)
})

for (const { why, answer, errno } of [
  { why: 'at once', answer: [datagram(verdict(22))], errno: 22 },
  { why: 'in the middle', answer: [datagram(item('a')), datagram(verdict(12))], errno: 12 },
  { why: 'at its end', answer: [datagram(item('a')), datagram(done(2, 16))], errno: 16 },
  {
    why: 'at its end, though it was interrupted too',
    answer: [datagram(item('a'), done(INTERRUPTED, 16))],
    errno: 16,
  },
  { why: 'by recv(2)', answer: [datagram(item('a')), { errno: 105 }], errno: 105 },
] as const)
  test(`a dump that fails ${why} is refused`, async (t) => {
    const { socket } = withFake([answer])
    t.equal(refusalOf(() => socket.ask('list', dumpLinks()))?.errno, errno)
  })

test('what a dump leaves from another question is no part of it', async (t) => {
  const old = (sequence: number) => item('old')(sequence - 1)
  const oldEnd = (sequence: number) => done()(sequence - 1)
  const { socket } = withFake([[datagram(old, oldEnd, item('a')), datagram(item('b'), done())]])
  t.strictSame(texts(socket.ask('list', dumpLinks())), ['a', 'b'])
})

test('answers and verdicts of several queries find their queries, in any datagrams', async (t) => {
  const answer: Answer = [
    datagram(verdict(0), verdict(17, 1)),
    datagram((sequence) => item('link')(sequence + 2)),
    datagram(verdict(0, 3)),
  ]
  const { fake, socket } = withFake([answer])
  const fared = socket.exchange([change, change, getLink({ name: 'lo' }), change])
  t.strictSame(
    fared.map(({ errno }) => errno + 0),
    [0, 17, 0, 0],
  )
  t.strictSame(
    fared.map(({ answers }) => texts(answers)),
    [[], [], ['link'], []],
  )
  t.equal(fake.sent.length, 1, 'one send(2)')
})

test('sequence numbers grow over the sends of a socket', async (t) => {
  const { fake, socket } = withFake([[datagram(verdict(0))], [datagram(verdict(0))]])
  socket.exchange([change, change])
  socket.exchange([change])
  const sequences = fake.sent.map((bytes) => bytes.readUInt32LE(8))
  t.strictSame(sequences, [1, 3])
})

test('a question that is refused by send(2) is refused, with the size', async (t) => {
  const { socket } = withFake([{ refused: 90 }])
  const refusal = refusalOf(() => socket.ask('ask', getLink({ name: 'lo' })))
  t.match(refusal?.message, /^Cannot send \d+ bytes to the kernel: EMSGSIZE/)
})

test('an overrun of the receive buffer (ENOBUFS) is refused', async (t) => {
  const { socket } = withFake([[datagram(verdict(0)), { errno: 105 }]])
  t.match(
    refusalOf(() => socket.exchange([change])),
    { errno: 105 },
  )
})

test('a datagram longer than the buffer is refused, not cut', async (t) => {
  const { socket } = withFake([[datagram(item('x'.repeat(70_000)))]])
  t.throws(() => socket.ask('ask', getLink({ name: 'lo' })), /70016 bytes, room for 65536/)
})

test('a datagram as long as the buffer is read', async (t) => {
  const { socket } = withFake([[datagram(item('x'.repeat(65_536 - 16)))]])
  t.equal(socket.ask('ask', getLink({ name: 'lo' }))[0]?.body.length, 65_520)
})

test('what was answered stays as it was when the buffer is used again', async (t) => {
  const { socket } = withFake([[datagram(item('first'))], [datagram(item('other'))]])
  const first = socket.ask('ask', getLink({ name: 'lo' }))
  socket.ask('ask', getLink({ name: 'lo' }))
  t.strictSame(texts(first), ['first'])
})

test('commitBatch names refused messages by their place', async (t) => {
  const { socket } = withFake([[datagram(verdict(2, 1)), datagram(verdict(17, 3))]])
  const refusals = socket.commitBatch([change, change, change, change])
  t.strictSame(
    refusals.map(({ at, errno }) => [at, errno]),
    [
      [1, 2],
      [3, 17],
    ],
  )
})

test('close closes once', async (t) => {
  const { fake, socket } = withFake([])
  socket.close()
  socket.close()
  t.strictSame(fake.closed, [7])
})

test('a socket that can not be opened is refused', async (t) => {
  const native = { ...new FakeNative([]).native, socketIn: () => -9 }
  const refusal = refusalOf(() => new NetlinkSocket(native, 99, NETLINK_ROUTE))
  t.match(refusal?.message, /^Cannot open netlink socket \(protocol 0\): EBADF/)
})

test('a kernel without SO_NETNS_COOKIE has no cookie', async (t) => {
  t.equal(withFake([]).socket.netnsCookie(), undefined)
})

for (const { errno, kernelText, want } of [
  {
    errno: 101,
    kernelText: 'Nexthop has invalid gateway',
    want: 'Cannot add a: ENETUNREACH (kernel: "Nexthop has invalid gateway")',
  },
  { errno: 17, kernelText: undefined, want: 'Cannot add a: EEXIST' },
  { errno: 2, kernelText: '', want: 'Cannot add a: ENOENT' },
])
  test(`a refusal reads "${want}"`, async (t) => {
    t.equal(new KernelRefusal({ what: 'add a', errno, kernelText }).message, want)
  })

test('a refusal with a number that has no name says the number', async (t) => {
  t.match(new KernelRefusal({ what: 'add a', errno: 524 }).message, /^Cannot add a: .*524/)
})
