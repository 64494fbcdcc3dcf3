/**
 * A read past the end, or bytes left over: what was read does not have the shape that its header
 * promised.
 */
export class ShapeError extends Error {
  override name = 'ShapeError'
}

/** Joins byte runs in order. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const joined = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.length
  }
  return joined
}

/**
 * Appends integers, little-endian unless the name says `be` (big-endian): netlink headers are in
 * host order, and every host that Tulle is built for (x86-64, arm64) is little-endian.
 */
export class Writer {
  #bytes = new Uint8Array(64)
  #length = 0

  u8(value: number): this {
    this.#grow(1)
    this.#bytes[this.#length++] = value
    return this
  }

  u16(value: number): this {
    return this.u8(value & 0xff).u8((value >>> 8) & 0xff)
  }

  u16be(value: number): this {
    return this.u8((value >>> 8) & 0xff).u8(value & 0xff)
  }

  u32(value: number): this {
    return this.u16(value & 0xffff).u16((value >>> 16) & 0xffff)
  }

  u32be(value: number): this {
    return this.u16be((value >>> 16) & 0xffff).u16be(value & 0xffff)
  }

  bytes(value: Uint8Array): this {
    this.#grow(value.length)
    this.#bytes.set(value, this.#length)
    this.#length += value.length
    return this
  }

  done(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  #grow(more: number): void {
    if (this.#length + more <= this.#bytes.length) return
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more))
    larger.set(this.#bytes)
    this.#bytes = larger
  }
}

/** Reads what `Writer` writes; a read past the end throws `ShapeError` and names the place. */
export class Reader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  u8(): number {
    const value = this.#bytes[this.#at]
    if (value === undefined)
      throw new ShapeError(`Cannot read byte ${this.#at} of ${this.#bytes.length}`)
    this.#at += 1
    return value
  }

  u16(): number {
    return this.u8() | (this.u8() << 8)
  }

  u32(): number {
    if (this.left < 4) return this.u16() + this.u16() * 0x10000
    this.#at += 4
    return u32At(this.#bytes, this.#at - 4)
  }

  i32(): number {
    return this.u32() | 0
  }

  u32be(): number {
    return this.u8() * 0x1000000 + ((this.u8() << 16) | (this.u8() << 8) | this.u8())
  }

  bytes(length: number): Uint8Array {
    if (length < 0 || length > this.left)
      throw new ShapeError(`Cannot read ${length} bytes at ${this.#at} of ${this.#bytes.length}`)
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  rest(): Uint8Array {
    return this.bytes(this.left)
  }
}

/** Four bytes as the kernel keeps a number, a mark say; all hosts here are little-endian. */
export const hostOrder = (value: number): Uint8Array =>
  Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24)

/** Little-endian; zeros behind the end. Code that runs once is slow by the number of its calls. */
export const u16At = (bytes: Uint8Array, at: number): number =>
  (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8)
export const u32At = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16)) +
  (bytes[at + 3] ?? 0) * 0x1000000

/** Writes an unsigned integer, little-endian. */
export function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value
  bytes[at + 1] = value >>> 8
}
export function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value
  bytes[at + 1] = value >>> 8
  bytes[at + 2] = value >>> 16
  bytes[at + 3] = value >>> 24
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export const encodeText = (text: string): Uint8Array => encoder.encode(text)

/** Text up to the first NUL: the kernel ends most of its strings with one. */
export function decodeText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end))
}

export const toHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')

export function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, at) => byte === right[at])
}
