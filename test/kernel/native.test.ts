import { test } from 'tap'
import type { Native } from '../../src/kernel/native.ts'
import { NETLINK_ROUTE } from '../../src/kernel/netlink-socket.ts'
import { encodeMessage } from '../../src/wire/netlink/message.ts'
import { getLink } from '../../src/wire/rtnl/link.ts'
import { decodeLink } from '../../src/wire/rtnl/observed-link.ts'
import { messagesOf } from '../wire/golden.ts'
import { datagram, FakeNative, verdict } from './fake-native.ts'
import { native, withRoom } from './sockets.ts'

// The contract of native.ts for sockets: the native part keeps it, and so does the fake.

const question = Buffer.from(encodeMessage({ ...getLink({ name: 'lo9' }), sequence: 77 }))
const refused = datagram(verdict(19))

type Opened = { readonly native: Native; readonly fd: number }
const kinds: readonly { name: string; open: (use: (opened: Opened) => void) => Promise<void> }[] = [
  {
    name: 'the native part',
    open: (use) =>
      withRoom((room) => {
        const fd = native.socketIn(room.fd, NETLINK_ROUTE)
        use({ native, fd })
        native.close(fd)
      }),
  },
  {
    name: 'the fake',
    open: async (use) => use({ native: new FakeNative([[refused], [refused]]).native, fd: 7 }),
  },
]

for (const { name, open } of kinds) {
  test(`${name}: a poll that finds nothing is -EAGAIN`, (t) =>
    open(({ native, fd }) => {
      t.equal(native.receive(fd, Buffer.alloc(64), 0), -11)
    }))

  test(`${name}: an answer waits when send returns, whole, once`, (t) =>
    open(({ native, fd }) => {
      t.equal(native.send(fd, question, question.length), question.length)
      const into = Buffer.alloc(4096)
      const length = native.receive(fd, into, 0)
      const [reply] = messagesOf(into.subarray(0, length))
      t.equal(reply?.type, 2)
      t.equal(reply?.body.readInt32LE(0), -19)
      t.equal(into.readUInt32LE(8), 77, 'with the sequence number of the question')
      t.equal(native.receive(fd, into, 0), -11)
    }))

  test(`${name}: a buffer that is too short is told the full length, and the rest is gone`, (t) =>
    open(({ native, fd }) => {
      native.send(fd, question, question.length)
      const into = Buffer.alloc(20, 0xee)
      const length = native.receive(fd, into.subarray(0, 16), 0)
      t.equal(length, 36)
      t.equal(into.subarray(16).toString('hex'), 'eeeeeeee', 'nothing is written behind it')
      t.equal(native.receive(fd, into, 0), -11)
    }))

  test(`${name}: a wait returns at once when there is something`, (t) =>
    open(({ native, fd }) => {
      native.send(fd, question, question.length)
      t.ok(native.receive(fd, Buffer.alloc(4096), 1) > 0)
    }))
}

for (const { why, act, want } of [
  {
    why: 'a length beyond the bytes',
    act: (fd: number) => native.send(fd, question, question.length + 1),
    want: -22,
  },
  { why: 'a length below nothing', act: (fd: number) => native.send(fd, question, -1), want: -22 },
  {
    why: 'a socket that is not open',
    act: () => native.send(9999, question, question.length),
    want: -9,
  },
  {
    why: 'reading from a socket that is not open',
    act: () => native.receive(9999, question, 0),
    want: -9,
  },
  { why: 'closing what is not open', act: () => native.close(9999), want: -9 },
  { why: 'a protocol that does not exist', act: () => native.socketIn(-1, 99), want: -93 },
  { why: 'the cookie of what is no socket', act: () => native.netnsCookie(9999), want: -9 },
])
  test(`the native part refuses ${why} with ${want}`, (t) =>
    withRoom((room) => {
      const fd = native.socketIn(room.fd, NETLINK_ROUTE)
      t.equal(act(fd), want)
      native.close(fd)
    }))

test('the native part sends as many bytes as it is told, of a view as of a whole buffer', (t) =>
  withRoom((room) => {
    const fd = native.socketIn(room.fd, NETLINK_ROUTE)
    const message = encodeMessage({ ...getLink({ name: 'lo' }), sequence: 5 })
    const framed = Buffer.concat([Buffer.alloc(7, 0xff), message, Buffer.alloc(9, 0xff)])
    t.equal(native.send(fd, framed.subarray(7), message.length), message.length)
    const into = Buffer.alloc(8192)
    const [reply] = messagesOf(into.subarray(0, native.receive(fd, into, 0)))
    t.equal(reply && decodeLink(reply.body).name, 'lo')
    native.close(fd)
  }))
