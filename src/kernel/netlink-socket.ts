import { concat } from '../base/bytes.ts'
import {
  decodeReplies,
  encodeMessage,
  type Message,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  type Query,
  type Reply,
} from '../wire/netlink/message.ts'
import type { Native } from './native.ts'
import { errno, KernelRefusal } from './refusal.ts'

export const NETLINK_ROUTE = 0
export const NETLINK_NETFILTER = 12

/**
 * One datagram's room: the kernel fills dump datagrams up to 32 KiB (or less), and single answers
 * fit by far.
 */
const receiveBytes = 64 * 1024
/**
 * A dump that changes under the reader is read again; on a node where links never rest we give up
 * and say so.
 */
const dumpAttemptsMax = 8

/** How one of several queries fared; errno 0 is success. */
export type Fared = {
  readonly errno: number
  readonly kernelText: string | undefined
  readonly answers: readonly Message[]
}

/**
 * A netlink socket that lives in one network namespace. The kernel handles requests inside send(2),
 * so answers to everything but dumps are waiting when it returns: every method is synchronous, and
 * none runs code in another namespace.
 */
export class NetlinkSocket {
  readonly #native: Native
  readonly #fd: number
  /** No Buffer: parts of one are Buffers too, and those are made by Node, not by the engine. */
  readonly #buffer = new Uint8Array(Buffer.allocUnsafeSlow(receiveBytes).buffer)
  #sequence = 0
  #closed = false

  /** @param netnsFd a descriptor of the namespace, or -1 for the process's own. */
  constructor(native: Native, netnsFd: number, protocol: number) {
    this.#native = native
    this.#fd = native.socketIn(netnsFd, protocol)
    if (this.#fd < 0)
      throw new KernelRefusal({
        what: `open netlink socket (protocol ${protocol})`,
        errno: -this.#fd,
      })
  }

  /** SO_NETNS_COOKIE: never given twice in one boot; undefined before Linux 5.14. */
  netnsCookie(): bigint | undefined {
    const cookie = this.#native.netnsCookie(this.#fd)
    return typeof cookie === 'bigint' ? cookie : undefined
  }

  /** nl_pid: in the kernel's multicast messages it tells whose doing something was. */
  portId(): number {
    return this.#native.portId(this.#fd)
  }

  /** One question; the answers' messages. A refusal throws. */
  ask(what: string, query: Query): readonly Message[] {
    const isDump = (query.flags & NLM_F_DUMP) === NLM_F_DUMP
    if (isDump) return this.#dump(what, query)
    const [fared] = this.exchange([query])
    if (!fared) throw new Error(`Cannot ${what}: no answer from the kernel`)
    if (fared.errno !== 0)
      throw new KernelRefusal({ what, errno: fared.errno, kernelText: fared.kernelText })
    return fared.answers
  }

  /** As `ask`, with no answer where there is nothing of that name. */
  list(what: string, query: Query): readonly Message[] {
    try {
      return this.ask(what, query)
    } catch (refusal) {
      if (refusal instanceof KernelRefusal && refusal.errno === errno.ENOENT) return []
      throw refusal
    }
  }

  /**
   * Several queries in one send(2), none of them a dump; how each fared, in their order. One that
   * asks for no acknowledgement (NLM_F_ACK) is answered if it is refused.
   */
  exchange(queries: readonly Query[]): readonly Fared[] {
    const { first, replies } = this.#converse(queries)
    const bySequence = Map.groupBy(replies, sequenceOf)
    return queries.map((_, at) => fate(bySequence.get(first + at) ?? []))
  }

  /**
   * One atomic nf_tables batch (its messages already wrapped by `nftBatch`); the refusals, none if
   * it was committed. The kernel goes on after a bad message and reports every one, but commits
   * nothing.
   */
  commitBatch(
    queries: readonly Query[],
  ): readonly { at: number; errno: number; kernelText: string | undefined }[] {
    const { first, replies } = this.#converse(queries)
    return replies.flatMap((reply) =>
      reply.kind === 'verdict' && reply.errno !== 0
        ? [{ at: reply.sequence - first, errno: reply.errno, kernelText: reply.text }]
        : [],
    )
  }

  close(): void {
    if (!this.#closed) this.#native.close(this.#fd)
    this.#closed = true
  }

  #dump(what: string, query: Query): readonly Message[] {
    for (let attempt = 0; attempt < dumpAttemptsMax; attempt++) {
      const replies = this.#readDump(this.#send([query]))
      const end = replies.at(-1)
      if (end && end.kind !== 'message' && end.errno !== 0) {
        const kernelText = end.kind === 'verdict' ? end.text : undefined
        throw new KernelRefusal({ what, errno: end.errno, kernelText })
      }
      const isTorn = replies.some((reply) => (flagsOf(reply) & NLM_F_DUMP_INTR) !== 0)
      if (!isTorn)
        return replies.flatMap((reply) => (reply.kind === 'message' ? reply.message : []))
    }
    throw new KernelRefusal({
      what: `${what} (${dumpAttemptsMax} dumps were interrupted by changes, NLM_F_DUMP_INTR)`,
      errno: errno.EAGAIN,
    })
  }

  /** Every reply to the dump, its end last; the kernel makes more as these are read. */
  #readDump(sequence: number): readonly Reply[] {
    const replies: Reply[] = []
    for (;;)
      for (const reply of this.#receive('wait')) {
        if (sequenceOf(reply) !== sequence) continue
        replies.push(reply)
        if (reply.kind !== 'message') return replies
      }
  }

  /**
   * Sends, then reads what is waiting until the last query's answer has come or nothing is left.
   */
  #converse(queries: readonly Query[]): { first: number; replies: readonly Reply[] } {
    if (queries.length === 0) return { first: this.#sequence, replies: [] }
    const first = this.#send(queries)
    const replies: Reply[] = []
    for (let more = this.#receive('poll'); more.length > 0; more = this.#receive('poll'))
      replies.push(...more)
    return { first, replies }
  }

  #send(queries: readonly Query[]): number {
    const first = this.#sequence + 1
    const bytes = concat(
      queries.map((query) => encodeMessage({ ...query, sequence: ++this.#sequence })),
    )
    const sent = this.#native.send(this.#fd, bytes, bytes.length)
    if (sent < 0)
      throw new KernelRefusal({ what: `send ${bytes.length} bytes to the kernel`, errno: -sent })
    return first
  }

  #receive(how: 'wait' | 'poll'): readonly Reply[] {
    const length = this.#native.receive(this.#fd, this.#buffer, how === 'wait' ? 1 : 0)
    if (length === -errno.EAGAIN) return []
    if (length < 0) throw new KernelRefusal({ what: "read the kernel's answer", errno: -length })
    if (length > receiveBytes)
      throw new Error(`Cannot read the kernel's answer: ${length} bytes, room for ${receiveBytes}`)
    return decodeReplies(this.#buffer.slice(0, length))
  }
}

const sequenceOf = (reply: Reply): number =>
  reply.kind === 'message' ? reply.message.sequence : reply.sequence

function flagsOf(reply: Reply): number {
  if (reply.kind === 'verdict') return 0
  return reply.kind === 'message' ? reply.message.flags : reply.flags
}

/** Of the replies to one query. */
function fate(replies: readonly Reply[]): Fared {
  const answers: Message[] = []
  let verdict: { errno: number; text: string | undefined } | undefined
  for (const reply of replies) {
    if (reply.kind === 'message') answers.push(reply.message)
    if (reply.kind === 'verdict') verdict = reply
  }
  return { errno: verdict?.errno ?? 0, kernelText: verdict?.text, answers }
}
