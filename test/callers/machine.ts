import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type Host, withHost } from '../support/host.ts'
import { type Ran, type RunOptions, run } from '../support/netns.ts'
import { childOf } from '../support/process-id.ts'
import { waitFor } from './wait-for.ts'

// These tests need, from Debian: busybox-static containerd containernetworking-plugins iproute2
// iptables iputils-ping nftables podman procps runc util-linux; and Go 1.22 or newer for libcni/.

/** What runtimes keep at fixed paths; the machine has its own, empty and in memory. */
const privateDirs = [
  '/run/netns',
  '/run/containerd',
  '/run/runc',
  '/var/lib/cni',
  '/var/lib/containers',
  '/dev/shm',
]

/**
 * A host with processes: a PID and a mount namespace around a host's network namespace, so that a
 * container runtime's daemons, shims and mounts all go when the first process goes.
 */
export class Machine {
  readonly host: Host
  /** Parent for the cgroups of all containers here; close() removes it. */
  readonly cgroup: string
  readonly #first: ChildProcess
  readonly #daemons: Daemon[] = []
  #entry = 0

  constructor(host: Host) {
    this.host = host
    this.cgroup = `/${host.netns.name}`
    for (const path of privateDirs) mkdirSync(path, { recursive: true })
    const mounts = privateDirs.map((path) => `mount -t tmpfs -o mode=755 tulle-test ${path}`)
    // A copied mount of somebody's namespace would keep that namespace alive: dropped first.
    const forget = 'while umount -l -R /run/netns 2>/dev/null; do :; done'
    // dash as PID 1 reaps what daemons orphan, in its blocking wait for cat; cat ends when the
    // test closes the pipe or dies, and with PID 1 the kernel kills the rest.
    const script = [forget, ...mounts, 'echo ready', 'cat >/dev/null', ':'].join('\n')
    const first = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
    this.#first = spawn(
      'nsenter',
      [`--net=${host.netns.path}`, ...first, '/bin/sh', '-c', script],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    )
  }

  /** Waits until the mounts are made and the first process can be joined. */
  async start(): Promise<void> {
    const { stdout, pid } = this.#first
    if (stdout === null || pid === undefined) throw new Error('Cannot start a machine')
    await once(stdout, 'data', { signal: AbortSignal.timeout(10_000) })
    this.#entry = childOf(pid)
  }

  /** The words that put a command inside; never `ip netns exec`, which hides the cgroups. */
  #enter(argv: readonly string[]): readonly string[] {
    return ['nsenter', '-t', String(this.#entry), '--mount', '--pid', '--net', ...argv]
  }

  exec(argv: readonly string[], options: RunOptions = {}): Ran {
    return run(this.#enter(argv), options)
  }

  /** Like exec, but a refusal throws with what the program said. */
  must(argv: readonly string[], options: RunOptions = {}): string {
    const ran = this.exec(argv, options)
    if (ran.code === 0) return ran.stdout
    throw new Error(`Cannot ${argv.join(' ')}: exit ${ran.code}: ${ran.stderr}${ran.stdout}`)
  }

  /** Starts a daemon inside; its output goes to a file of the host's directory. */
  daemon(name: string, argv: readonly string[]): Daemon {
    const daemon = new Daemon(join(this.host.directory, `${name}.log`), this.#enter(argv))
    this.#daemons.push(daemon)
    return daemon
  }

  /** The daemons' last words, to be shown when a test fails. */
  logs(): string {
    return this.#daemons.map((daemon) => daemon.log()).join('\n')
  }

  /** Ends every process inside, and with them their mounts; may be called twice. */
  async close(): Promise<void> {
    if (this.#first.exitCode !== null || this.#first.signalCode !== null) return
    const gone = once(this.#first, 'exit')
    this.#first.kill('SIGKILL')
    await gone
    for (const daemon of this.#daemons) await daemon.gone()
    const ours = ['-depth', '-type', 'd', '-path', `*${this.cgroup}*`]
    await waitFor('the end of the cgroups', () => {
      run(['find', '/sys/fs/cgroup', ...ours, '-exec', 'rmdir', '{}', ';'])
      return run(['find', '/sys/fs/cgroup', ...ours]).stdout === ''
    })
  }
}

/** Lends a machine and ends it, whatever happens; a failure is told with the daemons' logs. */
export async function withMachine(
  test: Test,
  use: (machine: Machine) => Promise<void>,
): Promise<void> {
  await withHost(async (host) => {
    const machine = new Machine(host)
    try {
      await machine.start()
      await use(machine)
    } catch (refusal) {
      test.fail(String(refusal), { stack: String((refusal as Error).stack) })
    } finally {
      if (!test.passing()) test.comment(machine.logs())
      await machine.close()
    }
  })
}

/** A daemon inside a machine, known by its own process id, not by nsenter's. */
export class Daemon {
  readonly logPath: string
  readonly #entry: ChildProcess

  constructor(logPath: string, argv: readonly string[]) {
    this.logPath = logPath
    const log = openSync(logPath, 'a')
    const [file = '', ...rest] = argv
    this.#entry = spawn(file, rest, { stdio: ['ignore', log, log] })
    closeSync(log)
  }

  /** SIGTERM and a bounded wait, as a service manager would. */
  async stop(): Promise<void> {
    if (this.#entry.pid !== undefined && this.running()) {
      process.kill(childOf(this.#entry.pid), 'SIGTERM')
    }
    await this.gone()
  }

  running(): boolean {
    return this.#entry.exitCode === null && this.#entry.signalCode === null
  }

  async gone(): Promise<void> {
    await waitFor(`the end of ${this.logPath}`, () => !this.running())
  }

  log(): string {
    return readFileSync(this.logPath, 'utf8').split('\n').slice(-60).join('\n')
  }
}
