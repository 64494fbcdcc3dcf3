import { Buffer } from 'node:buffer'
import { lineBytesMax } from './line-splitter.ts'

/** A list's own fields, all but the items: a few hundred bytes. */
const envelopeBytesMax = 2 ** 20
/** Enough to tell "items" from every other key. */
const wordBytesMax = 8
const [quote, backslash, comma] = [0x22, 0x5c, 0x2c]
const [braceOpen, braceClose, bracketOpen, bracketClose] = [0x7b, 0x7d, 0x5b, 0x5d]

/**
 * Reads a Kubernetes list while it comes in and hands over one item after the other, so that only
 * one of them is in memory at a time: of `{"metadata":{…},"items":[{…},{…}]}` it calls `onItem`
 * with `{…}` twice, and `end` gives `{"metadata":{…},"items":[]}`. Keys may come in any order.
 *
 * It follows braces and strings; whether the pieces are JSON is for JSON.parse to say.
 */
export class ListReader {
  readonly #onItem: (text: string) => void
  #depth = 0
  #inString = false
  #escaped = false
  /** Inside the brackets of `items`. */
  #inItems = false
  /** Text of the string that is being read at depth 1, then of the last one there. */
  #word: number[] = []
  /** Pieces of the item or of the envelope that is being read. */
  #item: Buffer[] = []
  #itemBytes = 0
  #envelope: Buffer[] = []
  #envelopeBytes = 0
  /** Where in the chunk the piece begins that is being read. */
  #from = 0

  constructor(onItem: (text: string) => void) {
    this.#onItem = onItem
  }

  /** Throws if an item is longer than 8 MiB, and what onItem throws. */
  push(chunk: Buffer): void {
    this.#from = 0
    for (let index = 0; index < chunk.length; index++) {
      const byte = chunk[index] ?? 0
      if (this.#inString) index = this.#pastString(chunk, index)
      else if (byte === quote) this.#openString()
      else if (byte === braceOpen || byte === bracketOpen) this.#open(chunk, index)
      else if (byte === braceClose || byte === bracketClose) this.#close(chunk, index)
      else if (byte === comma && this.#depth === 1) this.#word = []
    }
    if (!this.#inItems) this.#keepEnvelope(chunk.subarray(this.#from))
    else if (this.#depth > 2) this.#keepItem(chunk.subarray(this.#from))
  }

  /** The list without its items. Throws if the text was no list, or broke off. */
  end(): unknown {
    const text = Buffer.concat(this.#envelope).toString('utf8')
    if (this.#depth !== 0 || text === '') throw new Error('the list broke off')
    return JSON.parse(text)
  }

  #openString(): void {
    this.#inString = true
    if (this.#depth === 1) this.#word = []
  }

  #open(chunk: Buffer, index: number): void {
    if (this.#inItems && this.#depth === 2) this.#from = index
    this.#depth++
    if (this.#depth !== 2 || chunk[index] !== bracketOpen || !this.#isItems()) return
    this.#inItems = true
    this.#keepEnvelope(chunk.subarray(this.#from, index + 1))
  }

  #close(chunk: Buffer, index: number): void {
    this.#depth--
    if (!this.#inItems) return
    if (this.#depth === 2) this.#endItem(chunk.subarray(this.#from, index + 1))
    if (this.#depth !== 1) return
    this.#inItems = false
    this.#from = index
  }

  /** The closing quote's place, or the chunk's end if the string goes on in the next one. */
  #pastString(chunk: Buffer, start: number): number {
    const isWord = this.#depth === 1
    let escaped = this.#escaped
    for (let index = start; index < chunk.length; index++) {
      const byte = chunk[index] ?? 0
      if (byte === quote && !escaped) {
        this.#inString = false
        this.#escaped = false
        return index
      }
      escaped = byte === backslash && !escaped
      if (isWord && this.#word.length < wordBytesMax) this.#word.push(byte)
    }
    this.#escaped = escaped
    return chunk.length
  }

  #isItems(): boolean {
    return String.fromCharCode(...this.#word) === 'items'
  }

  #endItem(piece: Buffer): void {
    this.#keepItem(piece)
    const text = Buffer.concat(this.#item).toString('utf8')
    this.#item = []
    this.#itemBytes = 0
    this.#onItem(text)
  }

  #keepItem(piece: Buffer): void {
    this.#itemBytes += piece.length
    if (this.#itemBytes > lineBytesMax)
      throw new Error(`an object of the list is longer than ${lineBytesMax} bytes`)
    this.#item.push(piece)
  }

  #keepEnvelope(piece: Buffer): void {
    this.#envelopeBytes += piece.length
    if (this.#envelopeBytes > envelopeBytesMax)
      throw new Error(`the answer is longer than ${envelopeBytesMax} bytes and has no items`)
    this.#envelope.push(piece)
  }
}
