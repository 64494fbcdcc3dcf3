import { closeSync, openSync } from 'node:fs'
import { parseEnvironment } from '../../src/cni/environment.ts'
import { loadNative, type Native } from '../../src/kernel/native.ts'
import type { Call } from '../../src/plugin/context.ts'
import { readCall } from '../../src/plugin/context.ts'
import type { Json } from '../support/cni.ts'
import type { Pod } from '../support/host.ts'
import type { Netns } from '../support/netns.ts'

// The plugin's own functions, run in this process against a throw-away node: unlike the executable,
// they can be stopped, looked at and disturbed between two messages to the kernel.

const native = loadNative()

/** What happens to bytes on their way to the kernel; answers the bytes that are sent instead. */
export type Tap = (bytes: Buffer, protocol: number) => Buffer

/** The native part of a process that lives in another namespace; knows its open sockets. */
export class Lodger {
  readonly native: Native
  readonly #fd: number
  readonly #protocols = new Map<number, number>()

  constructor(netns: Netns, tap: Tap = (bytes) => bytes) {
    this.#fd = openSync(netns.path, 'r')
    const home = (fd: number): number => (fd === -1 ? this.#fd : fd)
    this.native = {
      ...native,
      socketIn: (netnsFd, protocol) => {
        const fd = native.socketIn(home(netnsFd), protocol)
        if (fd >= 0) this.#protocols.set(fd, protocol)
        return fd
      },
      send: (fd, bytes, length) => {
        const whole = Buffer.from(bytes.subarray(0, length))
        const sent = tap(whole, this.#protocols.get(fd) ?? -1)
        return native.send(fd, sent, sent.length)
      },
      close: (fd) => {
        this.#protocols.delete(fd)
        return native.close(fd)
      },
      readIn: (fd, path, into) => native.readIn(home(fd), path, into),
      writeIn: (fd, path, text) => native.writeIn(home(fd), path, text),
    }
  }

  /** Closes what a process would leave to its end. */
  close(): void {
    for (const fd of this.#protocols.keys()) native.close(fd)
    this.#protocols.clear()
    closeSync(this.#fd)
  }
}

/** One call for a pod, as the plugin reads it. */
export function callFor(lodger: Lodger, pod: Pod, verb: 'ADD' | 'DEL' | 'GC', conf: Json): Call {
  const environment = parseEnvironment({
    CNI_COMMAND: verb,
    CNI_CONTAINERID: pod.container,
    CNI_NETNS: pod.netns.path,
    CNI_IFNAME: pod.ifname,
  })
  const called = { native: lodger.native, plugin: 'tulle', note: () => undefined } as const
  return readCall(called, environment, JSON.stringify(conf))
}
