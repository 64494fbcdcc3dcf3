import { concat, decodeText, Reader, ShapeError, Writer } from '../../base/bytes.ts'
import { readAttributes, readU32 } from './attribute.ts'

// Flags and control types of include/uapi/linux/netlink.h.
export const NLM_F_REQUEST = 0x1
export const NLM_F_MULTI = 0x2
export const NLM_F_ACK = 0x4
export const NLM_F_DUMP_INTR = 0x10
export const NLM_F_DUMP = 0x300
export const NLM_F_REPLACE = 0x100
export const NLM_F_EXCL = 0x200
export const NLM_F_CREATE = 0x400
export const NLM_F_APPEND = 0x800

const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const NLM_F_CAPPED = 0x100
const NLM_F_ACK_TLVS = 0x200
const NLMSGERR_ATTR_MSG = 1
const NLMSGERR_ATTR_OFFS = 2

/** What is asked of the kernel; `sequence` is given when it is sent. */
export type Query = { readonly type: number; readonly flags: number; readonly body: Uint8Array }

export type Message = Query & { readonly sequence: number }

/** How the kernel answered one message: errno 0 is an acknowledgement. */
export type Verdict = {
  readonly kind: 'verdict'
  readonly sequence: number
  /** Positive errno, or 0. */
  readonly errno: number
  /** The kernel's own words (NLMSGERR_ATTR_MSG). */
  readonly text: string | undefined
  /**
   * Byte offset in the request, header included, that the kernel objects to (NLMSGERR_ATTR_OFFS).
   */
  readonly offset: number | undefined
}

export type Reply =
  | Verdict
  | { readonly kind: 'message'; readonly message: Message }
  | {
      readonly kind: 'done'
      readonly sequence: number
      readonly errno: number
      readonly flags: number
    }

/**
 * struct nlmsghdr (16 bytes: length, type, flags, sequence, port 0), the body, zeros to four bytes.
 */
export function encodeMessage({ type, flags, sequence, body }: Message): Uint8Array {
  const header = new Writer()
    .u32(16 + body.length)
    .u16(type)
    .u16(flags)
    .u32(sequence)
    .u32(0)
  return concat([header.done(), body, new Uint8Array(-body.length & 3)])
}

/** The replies in one datagram, in order. */
export function decodeReplies(datagram: Uint8Array): readonly Reply[] {
  const replies: Reply[] = []
  const reader = new Reader(datagram)
  while (reader.left >= 16) {
    const length = reader.u32()
    const type = reader.u16()
    const flags = reader.u16()
    const sequence = reader.u32()
    reader.u32()
    if (length < 16) throw new ShapeError(`Cannot read netlink message: its length is ${length}`)
    const body = reader.bytes(length - 16)
    reader.bytes(Math.min(-length & 3, reader.left))
    replies.push(replyOf({ type, flags, sequence, body }))
  }
  if (reader.left > 0) throw new ShapeError(`Cannot read messages: ${reader.left} bytes left over`)
  return replies
}

function replyOf(message: Message): Reply {
  if (message.type === NLMSG_ERROR) return verdictOf(message)
  if (message.type !== NLMSG_DONE) return { kind: 'message', message }
  const errno = message.body.length >= 4 ? -new Reader(message.body).i32() : 0
  return { kind: 'done', sequence: message.sequence, errno, flags: message.flags }
}

/**
 * struct nlmsgerr: errno, the request's header (and its body, unless capped), then attributes if
 * NLM_F_ACK_TLVS.
 */
function verdictOf({ flags, sequence, body }: Message): Verdict {
  const reader = new Reader(body)
  const errno = -reader.i32()
  const requestLength = reader.u32()
  reader.bytes(12)
  if ((flags & NLM_F_CAPPED) === 0 && errno !== 0) {
    const rest = Math.max(0, requestLength - 16)
    reader.bytes(Math.min((rest + 3) & ~3, reader.left))
  }
  const extra = (flags & NLM_F_ACK_TLVS) !== 0 ? readAttributes(reader.rest()) : undefined
  const text = extra?.get(NLMSGERR_ATTR_MSG)
  const offset = extra?.get(NLMSGERR_ATTR_OFFS)
  return {
    kind: 'verdict',
    sequence,
    errno,
    text: text && decodeText(text),
    offset: offset && readU32(offset),
  }
}
