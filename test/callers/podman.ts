import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Json } from '../support/cni.ts'
import type { Ran } from '../support/netns.ts'
import { imageName, writeImage } from './image.ts'
import type { Machine } from './machine.ts'
import { networkName } from './network.ts'

export type PodmanOptions = Readonly<{ machine: Machine; pluginDir: string; conflist: Json }>

type StartOptions = Readonly<{
  /** The network under test, with options as podman takes them. */
  network?: string
  more?: readonly string[]
  command?: readonly string[]
}>

/** Podman with every directory of its own, on the CNI back end. */
export class Podman {
  readonly machine: Machine
  readonly #env: Readonly<Record<string, string>>

  constructor({ machine, pluginDir, conflist }: PodmanOptions) {
    this.machine = machine
    const base = join(machine.host.directory, 'podman')
    const confDir = join(base, 'net.d')
    mkdirSync(confDir, { recursive: true })
    writeFileSync(join(confDir, '10-callers.conflist'), JSON.stringify(conflist))
    const conf = join(base, 'containers.conf')
    writeFileSync(conf, containersConf({ base, pluginDir, confDir }))
    const storage = join(base, 'storage.conf')
    const [root, runroot] = [join(base, 'root'), join(base, 'runroot')]
    const paths = `graphroot = "${root}"\nrunroot = "${runroot}"`
    writeFileSync(storage, `[storage]\ndriver = "overlay"\n${paths}\n`)
    this.#env = {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      HOME: base,
      CONTAINERS_CONF: conf,
      CONTAINERS_STORAGE_CONF: storage,
    }
    this.must(['load', '-q', '-i', writeImage(base)])
  }

  run(words: readonly string[]): Ran {
    const options = { env: this.#env, timeoutMs: 60_000 }
    return this.machine.exec(['podman', ...words], options)
  }

  /** Its output; a refusal throws with podman's text. */
  must(words: readonly string[]): string {
    const ran = this.run(words)
    if (ran.code === 0) return ran.stdout.trim()
    throw new Error(`Cannot podman ${words.join(' ')}: exit ${ran.code}: ${ran.stderr}`)
  }

  /** Starts a container, which sleeps unless it has a command. */
  start(name: string, { network = networkName, more = [], command = [] }: StartOptions = {}): void {
    const words = [...this.#runWords(network), ...more, imageName, ...command]
    this.must(['run', '-d', '--name', name, ...words])
  }

  /** A container that runs one command and goes; what the command printed. */
  once(command: readonly string[]): string {
    return this.must(['run', '--rm', ...this.#runWords(networkName), imageName, ...command])
  }

  /**
   * A command of the host in the container's network namespace. Not `podman exec`: that one can
   * miss its process's end on a busy machine and then waits for five seconds.
   */
  exec(name: string, command: readonly string[]): Ran {
    const path = this.must(['inspect', '--format', '{{.NetworkSettings.SandboxKey}}', name])
    return this.machine.exec(['nsenter', `--net=${path}`, ...command])
  }

  /** Podman's own view of a container on the network. */
  settings(name: string): Settings {
    const format = '{{json .NetworkSettings.Networks}}'
    const networks = JSON.parse(this.must(['inspect', '--format', format, name])) as {
      readonly [network: string]: Settings
    }
    const found = networks[networkName]
    if (found === undefined) throw new Error(`${name} is on no network named ${networkName}`)
    return found
  }

  /** Forced end of containers, as an operator would; all of them when none is named. */
  remove(...names: readonly string[]): void {
    this.must(['rm', '-f', '-t', '0', ...(names.length === 0 ? ['-a'] : names)])
  }

  #runWords(network: string): readonly string[] {
    const cgroup = ['--cgroup-parent', this.machine.cgroup]
    return ['--pull', 'never', ...cgroup, '--network', network]
  }
}

export type Settings = Readonly<{
  IPAddress: string
  GlobalIPv6Address: string
  MacAddress: string
  Gateway: string
}>

type Dirs = Readonly<{ base: string; pluginDir: string; confDir: string }>

/**
 * cgroupfs and no lowered limits: these need neither systemd nor CAP_SYS_RESOURCE. The database is
 * left at its place below the storage's root, where conmon's clean-up looks for it.
 */
function containersConf({ base, pluginDir, confDir }: Dirs): string {
  return `
[network]
network_backend = "cni"
cni_plugin_dirs = ["${pluginDir}"]
network_config_dir = "${confDir}"
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
lock_type = "file"
tmp_dir = "${base}/tmp"
[containers]
oom_score_adj = 0
apparmor_profile = "unconfined"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
log_driver = "k8s-file"
`
}
