import { concat, encodeText, putU16, putU32, Reader, ShapeError, u16At } from '../../base/bytes.ts'

/** nla_type without these two bits is the attribute's number (include/uapi/linux/netlink.h). */
const nlaNested = 0x8000
const nlaNetByteOrder = 0x4000
const typeMask = ~(nlaNested | nlaNetByteOrder) & 0xffff

/**
 * One encoded attribute with its padding: struct nlattr { u16 nla_len, nla_type }, payload, zeros
 * to four bytes.
 */
export type Attribute = Uint8Array

export function attribute(type: number, payload: Uint8Array): Attribute {
  const bytes = head(type, payload.length)
  bytes.set(payload, 4)
  return bytes
}

function head(type: number, length: number): Uint8Array {
  const bytes = new Uint8Array((4 + length + 3) & ~3)
  putU16(bytes, 0, 4 + length)
  putU16(bytes, 2, type)
  return bytes
}

export const flag = (type: number): Attribute => attribute(type, new Uint8Array(0))
export const u8 = (type: number, value: number): Attribute => attribute(type, Uint8Array.of(value))
export function u16(type: number, value: number): Attribute {
  const bytes = head(type, 2)
  putU16(bytes, 4, value)
  return bytes
}
export function u32(type: number, value: number): Attribute {
  const bytes = head(type, 4)
  putU32(bytes, 4, value)
  return bytes
}
/** nf_tables speaks network order throughout. */
export function u32be(type: number, value: number): Attribute {
  const bytes = head(type, 4)
  bytes.set([value >>> 24, value >>> 16, value >>> 8, value], 4)
  return bytes
}

/** NUL-terminated, as the kernel's NLA_NUL_STRING policy wants it. */
export const text = (type: number, value: string): Attribute =>
  attribute(type, concat([encodeText(value), Uint8Array.of(0)]))

export const nested = (type: number, children: readonly Attribute[]): Attribute =>
  attribute(type | nlaNested, concat(children))

export type Attributes = ReadonlyMap<number, Uint8Array>

/** Attributes by number; the last of those that come twice. Lists are read with `readList`. */
export function readAttributes(bytes: Uint8Array): Attributes {
  const found = new Map<number, Uint8Array>()
  walk(bytes, (type, payload) => found.set(type, payload))
  return found
}

/** Attributes in order, repeated numbers and all (nested lists such as NFTA_LIST_ELEM). */
export function readList(bytes: Uint8Array): readonly { type: number; payload: Uint8Array }[] {
  const found: { type: number; payload: Uint8Array }[] = []
  walk(bytes, (type, payload) => found.push({ type, payload }))
  return found
}

/** The last attribute's padding may be missing; anything else that is left over is an error. */
function walk(bytes: Uint8Array, visit: (type: number, payload: Uint8Array) => void): void {
  let at = 0
  while (bytes.length - at >= 4) {
    const length = u16At(bytes, at)
    const type = u16At(bytes, at + 2) & typeMask
    if (length < 4 || at + length > bytes.length)
      throw new ShapeError(
        `Cannot read attribute ${type} at ${at}: its length is ${length}, ` +
          `${bytes.length - at} bytes are left`,
      )
    visit(type, bytes.subarray(at + 4, at + length))
    at += (length + 3) & ~3
  }
  if (at < bytes.length)
    throw new ShapeError(`Cannot read attributes: ${bytes.length - at} bytes left over`)
}

export const readU8 = (payload: Uint8Array): number => new Reader(payload).u8()
export const readU32 = (payload: Uint8Array): number => new Reader(payload).u32()
export const readU32be = (payload: Uint8Array): number => new Reader(payload).u32be()
