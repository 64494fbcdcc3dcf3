import type { Native } from '../../src/kernel/native.ts'
import { encodeMessage } from '../../src/wire/netlink/message.ts'

const EAGAIN = 11

/** One datagram of the kernel's: its messages, each with the sequence number of the request. */
export type Datagram = (sequence: number) => readonly Uint8Array[]

/** What one send(2) leads to: an errno, or datagrams and errnos for recv(2), in order. */
export type Answer =
  | Readonly<{ refused: number }>
  | readonly (Datagram | Readonly<{ errno: number }>)[]

/**
 * A kernel that answers each send(2) as it was told, and keeps native.ts's contract: -errno for a
 * refusal, -EAGAIN for a poll that finds nothing, and a datagram's full length even where the
 * buffer is too short. A wait that would never end is a fault of the code under test, and throws.
 */
export class FakeNative {
  readonly sent: Buffer[] = []
  readonly closed: number[] = []
  readonly #answers: Answer[]
  readonly #queue: (Buffer | number)[] = []

  constructor(answers: readonly Answer[]) {
    this.#answers = [...answers]
  }

  get native(): Native {
    const absent = (): never => {
      throw new Error('Cannot do this: it is no part of the fake')
    }
    return {
      socketIn: () => 7,
      netnsCookie: () => -22,
      send: (_, bytes, length) => this.#send(Buffer.from(bytes.subarray(0, length))),
      receive: (_, bytes, wait) => this.#receive(bytes, wait),
      close: (fd) => this.closed.push(fd),
      readIn: absent,
      writeIn: absent,
      lock: absent,
      exit: absent,
      unshare: absent,
      enterNamespace: absent,
      mount: absent,
      unmount: absent,
      watch: absent,
      arm: absent,
      unwatch: absent,
      joinGroup: absent,
      portId: absent,
      furnish: absent,
      listenAt: absent,
      admit: absent,
      nextAdmitted: absent,
      hangUp: absent,
      shutDown: absent,
      receiveWith: absent,
      poll: absent,
      sendLater: absent,
      sentLater: absent,
    }
  }

  /** Datagrams that nobody has read. */
  get unread(): number {
    return this.#queue.length
  }

  #send(bytes: Buffer): number {
    this.sent.push(bytes)
    const answer = this.#answers.shift()
    if (answer === undefined) throw new Error('Cannot answer: the test told no more answers')
    if ('refused' in answer) return -answer.refused
    for (const item of answer)
      this.#queue.push(
        typeof item === 'function' ? Buffer.concat(item(bytes.readUInt32LE(8))) : -item.errno,
      )
    return bytes.length
  }

  #receive(into: Uint8Array, wait: 0 | 1): number {
    const next = this.#queue.shift()
    if (next === undefined && wait === 1) throw new Error('Cannot wait: nothing will ever come')
    if (next === undefined) return -EAGAIN
    if (typeof next === 'number') return next
    into.set(next.subarray(0, into.length))
    return next.length
  }
}

const NLMSG_ERROR = 2
const NLMSG_DONE = 3

/** A message of the answer, with `body` to tell it by. */
export const item =
  (body: string, flags = 2) =>
  (sequence: number): Uint8Array =>
    encodeMessage({ type: 16, flags, sequence, body: Buffer.from(body) })

export const done =
  (flags = 2, errno = 0) =>
  (sequence: number): Uint8Array => {
    const body = Buffer.alloc(4)
    body.writeInt32LE(-errno)
    return encodeMessage({ type: NLMSG_DONE, flags, sequence, body })
  }

/** The verdict on the request that came `after` the first of its send; 0 is an acknowledgement. */
export const verdict =
  (errno: number, after = 0) =>
  (sequence: number): Uint8Array => {
    const body = Buffer.alloc(20)
    body.writeInt32LE(-errno)
    body.writeUInt32LE(16, 4)
    return encodeMessage({ type: NLMSG_ERROR, flags: 0x100, sequence: sequence + after, body })
  }

export const datagram =
  (...parts: readonly ((sequence: number) => Uint8Array)[]): Datagram =>
  (sequence) =>
    parts.map((part) => part(sequence))
