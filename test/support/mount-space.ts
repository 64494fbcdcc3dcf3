import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

/**
 * A mount namespace of its own, held open by a process: what is mounted here, the machine does not
 * see, while namespaces named later under /run/netns still show up in here.
 */
export class MountSpace {
  readonly #keeper: ChildProcess

  private constructor(keeper: ChildProcess) {
    this.#keeper = keeper
  }

  /** @param script shell commands that mount what is wanted */
  static async open(script: string): Promise<MountSpace> {
    const words = ['-m', '--propagation', 'slave', '/bin/sh', '-ec']
    const wait = 'echo ready; exec sleep 600'
    const keeper = spawn('/usr/bin/unshare', [...words, `${script}\n${wait}`])
    const first = await Promise.race([once(keeper.stdout, 'data'), once(keeper, 'exit')])
    if (String(first[0]) !== 'ready\n') throw new Error(`Cannot mount: ${script}`)
    return new MountSpace(keeper)
  }

  /** Words that put a command into this namespace. */
  get words(): readonly string[] {
    return ['/usr/bin/nsenter', `--mount=/proc/${this.#keeper.pid}/ns/mnt`]
  }

  async close(): Promise<void> {
    if (this.#keeper.exitCode !== null) return
    const gone = once(this.#keeper, 'exit')
    this.#keeper.kill('SIGKILL')
    await gone
  }
}
