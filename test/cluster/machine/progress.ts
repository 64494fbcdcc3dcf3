import { styleText } from 'node:util'

/**
 * Tells what is done, with how long it took and how long all took until then. On a terminal what is
 * under way stands in the last line; in a pipe only what is done is written.
 */
export class Progress {
  readonly #started = performance.now()
  readonly #underWay: string[] = []
  readonly #isTerminal = process.stdout.isTTY === true

  readonly step = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    const started = performance.now()
    this.#underWay.push(what)
    this.#draw()
    try {
      const result = await work()
      this.#end(what, styleText('green', '✓'), started)
      return result
    } catch (refusal) {
      this.#end(what, styleText('red', '✗'), started)
      throw refusal
    }
  }

  #end(what: string, mark: string, started: number): void {
    const now = performance.now()
    this.#underWay.splice(this.#underWay.indexOf(what), 1)
    const times = `${seconds(now - started).padStart(8)}  at ${seconds(now - this.#started)}`
    this.#wipe()
    process.stdout.write(`${mark} ${what.padEnd(48)}${times}\n`)
    this.#draw()
  }

  #draw(): void {
    if (!this.#isTerminal || this.#underWay.length === 0) return
    this.#wipe()
    process.stdout.write(styleText('dim', `… ${this.#underWay.join('; ')}`))
  }

  #wipe(): void {
    if (this.#isTerminal) process.stdout.write('\r\u001b[2K')
  }
}

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
