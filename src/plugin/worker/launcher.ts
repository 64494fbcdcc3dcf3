import { concat, encodeText } from '../../base/bytes.ts'
import type { Door, Native } from '../../kernel/native.ts'
import { errno, KernelRefusal } from '../../kernel/refusal.ts'

/** A launcher that does not answer at once is stopped or gone; nobody else may wait for it. */
const answerMilliseconds = 500

/** What a launcher says: its text, and what descriptors came with it. */
export type Packet = { readonly bytes: Uint8Array; readonly descriptors: readonly number[] }

/**
 * The other end of one connection: a launcher, which stands in the pod's namespace and opens there
 * what it is asked to. The worker itself never enters one.
 */
export class Launcher {
  readonly #native: Native
  readonly #door: Door
  readonly fd: number
  #isSilent = false

  /** It was told `R` when it was let in, and answers `G`, or is gone. */
  constructor(native: Native, door: Door, fd: number) {
    this.#native = native
    this.#door = door
    this.fd = fd
  }

  /** One packet that is there; undefined if none is, "gone" at the end of all. */
  receive(room: Uint8Array): Packet | 'gone' | undefined {
    const fds = new Int32Array(4)
    const length = this.#native.receiveWith(this.fd, room, fds)
    if (length === -errno.EAGAIN) return undefined
    const descriptors = [...fds.slice(1, 1 + (fds[0] ?? 0))]
    if (length > 0) return { bytes: room.slice(0, length), descriptors }
    this.#drop(descriptors) // an empty packet can bring some
    return 'gone'
  }

  note(text: string): void {
    this.#send('N', encodeText(`tulle: ${text}\n`))
  }

  /** False if nobody is there to print it. */
  finish(exitCode: 0 | 1, output: string): boolean {
    return this.#send('D', concat([new Uint8Array([exitCode]), encodeText(output)]))
  }

  /** A file of the pod's namespace; below zero: -errno. */
  open(path: string, how: 'r' | 'w'): number {
    return this.#ask('O', encodeText(`${how}${path}`))
  }

  /** A netlink socket of the pod's namespace; below zero: -errno. */
  socket(protocol: number): number {
    return this.#ask('S', encodeText(String(protocol)))
  }

  close(): void {
    this.#native.hangUp(this.#door, this.fd)
  }

  #send(kind: string, rest: Uint8Array = new Uint8Array()): boolean {
    const bytes = concat([encodeText(kind), rest])
    return this.#native.send(this.fd, bytes, bytes.length) >= 0
  }

  #ask(kind: 'O' | 'S', rest: Uint8Array): number {
    // Some questions are mere wishes, and more would follow: it is waited for only once.
    if (this.#isSilent || !this.#send(kind, rest)) throw gone()
    const packet = this.#await() > 0 ? this.receive(new Uint8Array(64)) : undefined
    if (packet === undefined || packet === 'gone') {
      this.#isSilent = true
      throw gone()
    }
    const [given, ...others] = packet.descriptors
    this.#drop(others)
    const answer = new TextDecoder().decode(packet.bytes)
    if (answer === 'F' && given !== undefined) return given
    if (given !== undefined) this.#drop([given])
    return -Number(/^E([1-9]\d{0,3})$/.exec(answer)?.[1] ?? errno.EINVAL)
  }

  #drop(descriptors: readonly number[]): void {
    for (const fd of descriptors) this.#native.close(fd)
  }

  #await(): number {
    for (;;) {
      const found = this.#native.poll(Int32Array.of(this.fd), new Uint8Array(1), answerMilliseconds)
      if (found !== -errno.EINTR) return found
    }
  }
}

const gone = (): Error =>
  new KernelRefusal({ what: "reach the pod's namespace by the launcher", errno: errno.EPIPE })
