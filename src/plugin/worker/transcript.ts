import type { Native } from '../../kernel/native.ts'
import { sysctlFolder } from '../../kernel/sysctl.ts'

/** A call of the native part, and how a real kernel answered it. */
export type Line = {
  readonly call: string
  /** What it was about: a protocol, a length, a file below /proc/sys. */
  readonly about: string | number
  readonly answer: number
  /** What it brought, in base64. */
  readonly bytes?: string
}

/** Of a rehearsal: what was never recorded, or comes in another order. */
export class OffScript extends Error {}

type Answered = { readonly answer: number; readonly bytes?: Uint8Array }
type Ask = (call: string, about: string | number, real: () => Answered) => Answered

/**
 * The calls by which a CNI call reaches the kernel, each by way of `ask`. Locks are real ones, and
 * all else that `base` has is left alone.
 */
function throughOne(base: Native, ask: Ask): Native {
  const plain = (call: string, about: string | number, real: () => number): number =>
    ask(call, about, () => ({ answer: real() })).answer
  const filling = (
    into: Uint8Array,
    [call, about]: readonly [string, string | number],
    real: () => number,
  ): number => {
    const { answer, bytes } = ask(call, about, () => {
      const length = real()
      return length > 0 ? { answer: length, bytes: into.slice(0, length) } : { answer: length }
    })
    if (bytes) into.set(bytes)
    return answer
  }
  const below = (path: string): string => path.slice(sysctlFolder().length)
  return {
    ...base,
    socketIn: (netnsFd, protocol) =>
      plain('socketIn', protocol, () => base.socketIn(netnsFd, protocol)),
    close: (fd) => plain('close', 0, () => base.close(fd)),
    // The same one each time is one boot; which it is does not matter.
    netnsCookie: () => 1n,
    send: (fd, bytes, length) => plain('send', length, () => base.send(fd, bytes, length)),
    receive: (fd, into, wait) =>
      filling(into, ['receive', wait], () => base.receive(fd, into, wait)),
    readIn: (netnsFd, path, into) =>
      filling(into, ['readIn', below(path)], () => base.readIn(netnsFd, path, into)),
    writeIn: (netnsFd, path, text) =>
      plain('writeIn', below(path), () => base.writeIn(netnsFd, path, text)),
    sendLater: (bytes, length) => plain('sendLater', length, () => base.sendLater(bytes, length)),
    sentLater: (handle) => plain('sentLater', 0, () => base.sentLater(handle)),
  }
}

/** Asks the kernel, and writes down what it answers. */
export function recording(base: Native): { readonly native: Native; readonly lines: Line[] } {
  const lines: Line[] = []
  const native = throughOne(base, (call, about, real) => {
    const answered = real()
    const { answer, bytes } = answered
    const kept = bytes ? { bytes: Buffer.from(bytes).toString('base64') } : {}
    lines.push({ call, about, answer, ...kept })
    return answered
  })
  return { native, lines }
}

const bytesOf = ({ bytes }: Line): Uint8Array | undefined =>
  bytes === undefined ? undefined : new Uint8Array(Buffer.from(bytes, 'base64'))

/**
 * Asks nobody: answers what is written, in that order.
 * @throws {OffScript} at the first call that is not the next one written, and at all after it.
 */
export function replaying(base: Native, lines: readonly Line[]): Native {
  let at = 0
  return throughOne(base, (call, about) => {
    const line = lines[at]
    if (line?.call !== call || line.about !== about)
      throw new OffScript(`${call} ${about} in place of ${line?.call} ${line?.about} (${at})`)
    at += 1
    const bytes = bytesOf(line)
    return bytes ? { answer: line.answer, bytes } : { answer: line.answer }
  })
}
