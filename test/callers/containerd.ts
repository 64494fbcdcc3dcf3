import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Json } from '../support/cni.ts'
import { Cri } from './cri.ts'
import { imageName, writeImage } from './image.ts'
import type { Daemon, Machine } from './machine.ts'
import { waitFor } from './wait-for.ts'

export type ContainerdOptions = Readonly<{
  machine: Machine
  pluginDir: string
  conflist: Json
  /** Directory of containerd's executables; Debian's own unless said. */
  binDir?: string
  /** Version of the configuration's format: 2 up to containerd 1.7, 3 from 2.0 on. */
  format?: 2 | 3
}>

/** A containerd in a machine of its own, with one network. */
export class Containerd {
  readonly machine: Machine
  readonly #binDir: string
  readonly #base: string
  readonly #confPath: string
  readonly #conflistPath: string
  #running: { readonly daemon: Daemon; readonly cri: Cri } | undefined

  constructor(options: ContainerdOptions) {
    const { machine, pluginDir, conflist } = options
    this.machine = machine
    this.#binDir = options.binDir ?? '/usr/bin'
    this.#base = join(machine.host.directory, 'containerd')
    const confDir = join(this.#base, 'net.d')
    mkdirSync(confDir, { recursive: true })
    this.#conflistPath = join(confDir, '10-callers.conflist')
    this.writeConflist(conflist)
    this.#confPath = join(this.#base, 'config.toml')
    const write = options.format === 3 ? configuration3 : configuration2
    writeFileSync(this.#confPath, write({ base: this.#base, pluginDir, confDir }))
  }

  get cri(): Cri {
    if (this.#running === undefined) throw new Error('containerd is not started')
    return this.#running.cri
  }

  /** Writes the network's file; containerd watches it. */
  writeConflist(conflist: Json): void {
    writeFileSync(this.#conflistPath, JSON.stringify(conflist))
  }

  /** Starts the daemon and waits until its CRI answers. */
  async start(): Promise<void> {
    const path = `PATH=${this.#binDir}:/usr/sbin:/usr/bin:/sbin:/bin`
    const argv = [join(this.#binDir, 'containerd'), '-c', this.#confPath]
    const daemon = this.machine.daemon('containerd', ['env', '-i', path, ...argv])
    const cri = new Cri(this.#socket)
    this.#running = { daemon, cri }
    await waitFor('containerd', async () => {
      if (!daemon.running()) return true
      return (await cri.version()).runtime_name === 'containerd'
    })
    if (!daemon.running()) throw new Error('containerd ended at once')
  }

  /** SIGTERM; the pods and their shims live on. */
  async stop(): Promise<void> {
    this.#running?.cri.close()
    await this.#running?.daemon.stop()
    this.#running = undefined
  }

  /** Puts the pods' image into the store that CRI reads. */
  importImage(): void {
    const image = writeImage(this.#base)
    const ctr = [join(this.#binDir, 'ctr'), '-a', this.#socket, '-n', 'k8s.io']
    this.machine.must([...ctr, 'images', 'import', image])
  }

  get #socket(): string {
    return join(this.#base, 'c.sock')
  }
}

type Dirs = Readonly<{ base: string; pluginDir: string; confDir: string }>

/** No lowered OOM score and no AppArmor: neither CAP_SYS_RESOURCE nor profiles are needed. */
function configuration2({ base, pluginDir, confDir }: Dirs): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"'
  return `version = 2
${daemonPart(base)}
[${cri}]
sandbox_image = "${imageName}"
disable_apparmor = true
restrict_oom_score_adj = true
[${cri}.cni]
bin_dir = "${pluginDir}"
conf_dir = "${confDir}"
${runtimePart(cri)}`
}

function configuration3({ base, pluginDir, confDir }: Dirs): string {
  const runtime = 'plugins."io.containerd.cri.v1.runtime"'
  return `version = 3
${daemonPart(base)}
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "${imageName}"
[${runtime}]
disable_apparmor = true
restrict_oom_score_adj = true
[${runtime}.cni]
bin_dirs = ["${pluginDir}"]
conf_dir = "${confDir}"
${runtimePart(runtime)}`
}

function daemonPart(base: string): string {
  return `root = "${base}/root"
state = "${base}/state"
[grpc]
address = "${base}/c.sock"
[ttrpc]
address = "${base}/c.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
path = "${base}/opt"`
}

function runtimePart(cri: string): string {
  return `[${cri}.containerd]
default_runtime_name = "runc"
[${cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[${cri}.containerd.runtimes.runc.options]
SystemdCgroup = false
`
}
