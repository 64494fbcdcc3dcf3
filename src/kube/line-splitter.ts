import { Buffer } from 'node:buffer'

/** etcd keeps objects of 1.5 MiB at most by default; more than this is no watch event. */
export const lineBytesMax = 8 * 2 ** 20

const newline = 0x0a

/**
 * Cuts a stream of bytes into lines. What is left of a chunk waits as it came and is joined once,
 * when its line ends: a line in a thousand chunks costs no more than one in two.
 */
export class LineSplitter {
  readonly #onLine: (line: string) => void
  #waiting: Buffer[] = []
  #waitingBytes = 0

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine
  }

  /** Throws if a line is longer than 8 MiB, and what onLine throws. */
  push(chunk: Buffer): void {
    let start = 0
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      this.#keep(chunk.subarray(start, end))
      start = end + 1
      const line = this.#taken()
      if (line !== '') this.#onLine(line)
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start))
  }

  #keep(piece: Buffer): void {
    this.#waitingBytes += piece.length
    if (this.#waitingBytes > lineBytesMax)
      throw new Error(`a line of the answer is longer than ${lineBytesMax} bytes`)
    this.#waiting.push(piece)
  }

  #taken(): string {
    const [first] = this.#waiting
    const line = this.#waiting.length === 1 && first ? first : Buffer.concat(this.#waiting)
    this.#waiting = []
    this.#waitingBytes = 0
    return line.toString('utf8')
  }
}
