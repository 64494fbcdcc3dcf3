import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { type Ran, type RunOptions, runLater } from '../../support/netns.ts'
import { childOf, startTimeOf } from '../../support/process-id.ts'
import { places, type Site, stateDir } from './places.ts'
import { netnsPath } from './underlay.ts'
import { until } from './until.ts'

/** Programs and libraries come from this machine, read-only; everything else is the computer's. */
const systemFolders = ['usr', 'bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32']
const ownFolders = [
  ...['dev', 'etc', 'home', 'mnt', 'opt/cni/bin', 'opt/cluster', 'proc', 'root', 'run', 'sys'],
  ...['tmp', 'var/lib', 'var/log', 'var/tmp', '.old'],
]
const copiedFromEtc = [
  ...['alternatives', 'group', 'ld.so.cache', 'nsswitch.conf', 'passwd', 'protocols', 'services'],
]
/** What a kubelet sets for the whole machine: each computer has a file of its own instead. */
const machineSysctls = [
  ...['vm/overcommit_memory', 'vm/panic_on_oom', 'kernel/panic', 'kernel/panic_on_oops'],
  ...['kernel/keys/root_maxkeys', 'kernel/keys/root_maxbytes'],
]
/** Where the cluster's programs stand inside. */
export const programs = '/opt/cluster'

/**
 * A computer of the cluster: its own disk, network, processes, mounts and host name. It lives as
 * long as its first process; when that dies, the kernel ends all others and their mounts.
 */
export class Computer {
  readonly site: Site
  /** Its root directory as this machine sees it; it outlives a reboot. */
  readonly disk: string
  readonly #firstPath: string

  constructor(site: Site) {
    this.site = site
    const base = join(stateDir, site.name)
    this.disk = join(base, 'disk')
    this.#firstPath = join(base, 'first-process')
  }

  /** The first process's id, if it lives. */
  get first(): number | undefined {
    if (!existsSync(this.#firstPath)) return undefined
    const [pid = '', started] = readFileSync(this.#firstPath, 'utf8').trim().split(' ')
    return startTimeOf(Number(pid)) === started ? Number(pid) : undefined
  }

  makeDisk(): void {
    for (const folder of ownFolders) mkdirSync(join(this.disk, folder), { recursive: true })
    for (const name of systemFolders) {
      const from = `/${name}`
      const to = join(this.disk, name)
      if (!existsSync(from) || existsSync(to)) continue
      if (lstatSync(from).isSymbolicLink()) symlinkSync(readlinkSync(from), to)
      else mkdirSync(to)
    }
    for (const name of copiedFromEtc) {
      const from = `/etc/${name}`
      if (existsSync(from)) cpSync(from, join(this.disk, 'etc', name), verbatim)
    }
    writeFileSync(join(this.disk, 'etc/hostname'), `${this.site.name}\n`)
    writeFileSync(join(this.disk, 'etc/hosts'), '127.0.0.1 localhost\n::1 localhost\n')
  }

  /** Needs its network namespace; returns when programs can be run inside. */
  async boot(): Promise<void> {
    mkdirSync(places.logs, { recursive: true })
    const log = openSync(join(places.logs, `${this.site.name}-boot.log`), 'a')
    const network = `--net=${netnsPath(this.site.name)}`
    const apart = ['unshare', '--mount', '--pid', '--uts', '--ipc', '--fork', '--kill-child']
    const words = [network, ...apart, 'sh', '-euc', bootScript(this.site.name, this.disk)]
    const outer = spawn('nsenter', words, { stdio: ['ignore', 'pipe', log], detached: true })
    closeSync(log)
    const { stdout } = outer
    if (stdout === null) throw new Error('Cannot start a computer without its output')
    const ready = once(stdout, 'data', { signal: AbortSignal.timeout(20_000) })
    const ended = once(outer, 'exit').then(() => {
      const said = readFileSync(join(places.logs, `${this.site.name}-boot.log`), 'utf8')
      throw new Error(`${this.site.name} ended while it booted: ${said.trim()}`)
    })
    await Promise.race([ready, ended])
    ended.catch(() => undefined)
    stdout.destroy()
    outer.unref()
    const pid = childOf(outer.pid ?? 0)
    writeFileSync(this.#firstPath, `${pid} ${startTimeOf(pid)}\n`)
  }

  /** The words that put a command inside. */
  inside(argv: readonly string[]): readonly string[] {
    const { first } = this
    if (first === undefined) throw new Error(`${this.site.name} is not running`)
    const spaces = ['--mount', '--pid', '--net', '--uts', '--ipc']
    const path = `PATH=${programs}:/usr/sbin:/usr/bin:/sbin:/bin`
    const env = ['env', '-i', path, 'HOME=/root', 'LANG=C.UTF-8', 'TERM=xterm']
    return ['nsenter', '-t', String(first), ...spaces, '--', ...env, ...argv]
  }

  /** Runs a program inside and waits for it. */
  exec(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
    return runLater(this.inside(argv), options)
  }

  /** As `exec`, but what is not well throws with what the program said. */
  async must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
    const ran = await this.exec(argv, options)
    if (ran.code === 0) return ran.stdout
    const said = `${ran.stderr}${ran.stdout}`.trim()
    throw new Error(`Cannot ${argv.join(' ')} on ${this.site.name}: exit ${ran.code}: ${said}`)
  }

  /** Pulls the plug: every process inside is killed. May be called twice. */
  async cut(): Promise<void> {
    const { first } = this
    if (first === undefined) return
    process.kill(first, 'SIGKILL')
    const isGone = (): boolean => this.first === undefined
    await until(`the end of ${this.site.name}`, isGone, { limitMs: 30_000, pauseMs: 20 })
    rmSync(this.#firstPath, { force: true })
  }
}

const verbatim = { recursive: true, verbatimSymlinks: true } as const

/**
 * The root is changed and the old one let go, so that no mount of this machine, and above all no
 * other network namespace, is held by the computer. dash as first process reaps what daemons orphan
 * while it waits.
 */
function bootScript(name: string, disk: string): string {
  const system = systemFolders.filter(
    (folder) => existsSync(`/${folder}`) && !lstatSync(`/${folder}`).isSymbolicLink(),
  )
  return `
hostname ${name}
mount --make-rprivate /
mount --bind '${disk}' '${disk}'
cd '${disk}'
${system.map((folder) => `mount --bind /${folder} ${folder}`).join('\n')}
${system.map((folder) => `mount -o remount,ro,bind ${folder}`).join('\n')}
mount --bind '${places.bin}' .${programs}
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount --bind /dev dev
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t tmpfs -o mode=755 run run
mkdir run/sysctl
for name in ${machineSysctls.join(' ')}; do
  own=run/sysctl/$(basename $name)
  cat proc/sys/$name >$own
  mount --bind $own proc/sys/$name
done
pivot_root . .old
cd /
umount -l /.old
mount --make-rshared /
mkdir -p /run/netns /run/lock
ln -sfn /run /var/run
echo ready
exec >/dev/null 2>&1
sleep infinity &
wait
`
}
