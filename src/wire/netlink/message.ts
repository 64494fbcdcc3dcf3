import { decodeText, putU16, putU32, Reader, ShapeError, u16At, u32At } from '../../base/bytes.ts'
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
  const bytes = new Uint8Array(headerBytes + ((body.length + 3) & ~3))
  putU32(bytes, 0, headerBytes + body.length)
  putU16(bytes, 4, type)
  putU16(bytes, 6, flags)
  putU32(bytes, 8, sequence)
  bytes.set(body, headerBytes)
  return bytes
}
const headerBytes = 16

/** The replies in one datagram, in order. */
export function decodeReplies(datagram: Uint8Array): readonly Reply[] {
  const replies: Reply[] = []
  let at = 0
  while (datagram.length - at >= headerBytes) {
    const length = u32At(datagram, at)
    const left = datagram.length - at
    if (length < headerBytes || length > left)
      throw new ShapeError(
        `Cannot read netlink message: its length is ${length}, ${left} bytes are left`,
      )
    const type = u16At(datagram, at + 4)
    const flags = u16At(datagram, at + 6)
    const sequence = u32At(datagram, at + 8)
    const body = datagram.subarray(at + headerBytes, at + length)
    replies.push(replyOf({ type, flags, sequence, body }))
    at += (length + 3) & ~3
  }
  if (at < datagram.length)
    throw new ShapeError(`Cannot read messages: ${datagram.length - at} bytes left over`)
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
