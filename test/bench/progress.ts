import type { WriteStream } from 'node:tty'

/** One line that changes on a terminal; a line per case in a pipe or log. */
export class Progress {
  readonly #stream: WriteStream | NodeJS.WritableStream
  readonly #isTerminal: boolean
  readonly #began: number
  readonly #now: () => number

  constructor(stream: WriteStream | NodeJS.WritableStream, now: () => number) {
    this.#stream = stream
    this.#isTerminal = 'isTTY' in stream && stream.isTTY
    this.#now = now
    this.#began = now()
  }

  /** A step that may take a while. */
  begin(text: string): void {
    this.#write(text, '\n')
  }

  /** How far it is; told on terminals only. */
  update(text: string): void {
    if (this.#isTerminal) this.#write(text, '')
  }

  close(): void {
    if (this.#isTerminal) this.#stream.write('\r\u001b[K')
  }

  #write(text: string, end: string): void {
    const seconds = Math.round((this.#now() - this.#began) / 1000)
    const line = `[${String(seconds).padStart(3)} s] ${text}`
    this.#stream.write(this.#isTerminal ? `\r\u001b[K${line}` : line + end)
  }
}
