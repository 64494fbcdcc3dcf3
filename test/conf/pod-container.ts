import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseAllDocuments } from 'yaml'
import { buildImage } from '../../conf/image/build.ts'
import { executable } from '../support/cni.ts'
import { type Netns, run } from '../support/netns.ts'

/** What the tests read of a pod's description. */
export type PodSpec = {
  readonly hostNetwork: boolean
  readonly containers: readonly [Container]
  readonly volumes: readonly Volume[]
}
type Container = {
  readonly args: readonly string[]
  readonly env: readonly { readonly name: string; readonly value?: string }[]
  readonly securityContext: {
    readonly readOnlyRootFilesystem: boolean
    readonly allowPrivilegeEscalation: boolean
    readonly capabilities: { readonly add: readonly string[]; readonly drop: readonly string[] }
  }
  readonly volumeMounts: readonly {
    readonly name: string
    readonly mountPath: string
    readonly readOnly?: boolean
  }[]
}
type Volume = {
  readonly name: string
  readonly hostPath?: { readonly path: string }
  readonly configMap?: object
  readonly emptyDir?: object
}

export type KubeObject = {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly [key: string]: unknown
}

export const confPath = (path: string): string =>
  fileURLToPath(new URL(`../../conf/${path}`, import.meta.url))

export const objectsIn = (text: string): readonly KubeObject[] =>
  parseAllDocuments(text).map((document) => document.toJS() as KubeObject)

export const manifestObjects = (): readonly KubeObject[] =>
  objectsIn(readFileSync(confPath('tulle.yaml'), 'utf8'))

export function podSpec(): PodSpec {
  const daemonSet = manifestObjects().find(({ kind }) => kind === 'DaemonSet')
  if (!daemonSet) throw new Error('The manifest has no DaemonSet')
  const { template } = daemonSet.spec as { readonly template: { readonly spec: PodSpec } }
  return template.spec
}

/** The root file system of the image, in a folder. */
export function unpackImage(folder: string): void {
  const archive = join(folder, 'image.tar')
  const root = join(folder, 'rootfs')
  writeFileSync(archive, buildImage({ executable, root: '/', name: 'localhost/tulle:test' }))
  for (const path of ['image', 'rootfs']) mkdirSync(join(folder, path))
  untar(archive, join(folder, 'image'))
  const manifest = JSON.parse(readFileSync(join(folder, 'image/manifest.json'), 'utf8')) as [
    { readonly Layers: readonly string[] },
  ]
  for (const layer of manifest[0].Layers) untar(join(folder, 'image', layer), root)
}

function untar(archive: string, folder: string): void {
  const done = run(['tar', '-xpf', archive, '-C', folder])
  if (done.code !== 0) throw new Error(`Cannot unpack ${archive}: ${done.stderr}`)
}

/**
 * The DaemonSet's container as kubelet and containerd would have runc run it on a node: its
 * capabilities, mounts and read-only paths are those of the manifest and of the runtime's
 * defaults. The node's folders are below `node`, its network is a namespace of the test.
 */
export class PodContainer {
  readonly #folder = mkdtempSync(join(tmpdir(), 'tt-pod-'))
  readonly #id: string
  #process: ChildProcess | undefined
  #said = ''

  /** @param config the ConfigMap's files */
  constructor(netns: Netns, nodeName: string, config: Readonly<Record<string, string>>) {
    this.#id = netns.name
    unpackImage(this.#folder)
    mkdirSync(this.#configFolder)
    for (const [name, text] of Object.entries(config))
      writeFileSync(join(this.#configFolder, name), text)
    const bundle = this.#bundle(podSpec(), { netns, nodeName })
    writeFileSync(join(this.#folder, 'config.json'), JSON.stringify(bundle))
  }

  /** Where a folder of the node is. */
  node(path: string): string {
    return join(this.#folder, 'node', path)
  }

  get log(): string {
    return this.#said
  }

  start(): this {
    const runc = ['setpriv', '--pdeathsig', 'KILL', 'runc', '--root', join(this.#folder, 'runc')]
    const [file = '', ...words] = [...runc, 'run', '--bundle', this.#folder, this.#id]
    const child = spawn(file, words, { stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (bytes) => {
        this.#said += String(bytes)
      })
    this.#process = child
    return this
  }

  /** As `kubectl exec`: a command beside the agent, in its container. */
  exec(words: readonly string[]) {
    return run(['runc', '--root', join(this.#folder, 'runc'), 'exec', this.#id, ...words])
  }

  /** Of its first process, as the node sees it. */
  get pid(): number {
    const state = run(['runc', '--root', join(this.#folder, 'runc'), 'state', this.#id])
    return (JSON.parse(state.stdout) as { readonly pid: number }).pid
  }

  /** The exit code, as after SIGTERM from the kubelet. */
  async stop(): Promise<number | null> {
    const child = this.#process
    if (!child) return null
    if (child.exitCode !== null) return child.exitCode
    const ended = new Promise<number | null>((resolve) => {
      child.once('exit', (code) => resolve(code))
    })
    run(['runc', '--root', join(this.#folder, 'runc'), 'kill', this.#id, 'TERM'])
    return ended
  }

  close(): void {
    run(['runc', '--root', join(this.#folder, 'runc'), 'delete', '--force', this.#id])
    this.#process?.kill('SIGKILL')
    rmSync(this.#folder, { recursive: true, force: true })
  }

  get #configFolder(): string {
    return join(this.#folder, 'config')
  }

  #bundle(spec: PodSpec, at: { readonly netns: Netns; readonly nodeName: string }): object {
    const [container] = spec.containers
    const { add, drop } = container.securityContext.capabilities
    if (drop.join() !== 'ALL') throw new Error('The pod keeps capabilities that it does not name')
    const caps = add.map((name) => `CAP_${name}`)
    const env = container.env.map(({ name, value }) => `${name}=${value ?? at.nodeName}`)
    return {
      ociVersion: '1.0.2',
      process: {
        user: { uid: 0, gid: 0 },
        args: ['/usr/bin/tulle', ...container.args],
        env: ['PATH=/usr/bin', ...env],
        cwd: '/',
        capabilities: { bounding: caps, effective: caps, permitted: caps },
        noNewPrivileges: !container.securityContext.allowPrivilegeEscalation,
      },
      root: { path: 'rootfs', readonly: container.securityContext.readOnlyRootFilesystem },
      mounts: [
        ...runtimeMounts,
        ...container.volumeMounts.map(({ name, mountPath, readOnly }) => {
          const volume = spec.volumes.find((one) => one.name === name)
          if (!volume) throw new Error(`No volume ${name}`)
          const options = ['rbind', 'rprivate', readOnly === true ? 'ro' : 'rw']
          return {
            destination: mountPath,
            type: 'bind',
            source: this.#sourceOf(volume),
            options,
          }
        }),
      ],
      linux: {
        cgroupsPath: `/${this.#id}`,
        namespaces: [
          ...['pid', 'ipc', 'uts', 'mount'].map((type) => ({ type })),
          { type: 'network', path: at.netns.path },
        ],
        maskedPaths,
        readonlyPaths,
      },
    }
  }

  #sourceOf({ name, hostPath, configMap }: Volume): string {
    if (configMap) return this.#configFolder
    // Of the network namespace that asks, wherever it is mounted: the machine's will do.
    if (hostPath?.path.startsWith('/proc/')) return hostPath.path
    const path = hostPath ? this.node(hostPath.path) : join(this.#folder, 'empty', name)
    mkdirSync(path, { recursive: true })
    return path
  }
}

/** What containerd gives every container (its package oci, defaultMounts). */
const runtimeMounts = [
  { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
  { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] },
  {
    destination: '/dev/shm',
    type: 'tmpfs',
    source: 'shm',
    options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'],
  },
  {
    destination: '/sys',
    type: 'sysfs',
    source: 'sysfs',
    options: ['nosuid', 'noexec', 'nodev', 'ro'],
  },
]
const maskedPaths = ['/proc/kcore', '/proc/keys', '/proc/timer_list', '/sys/firmware']
const readonlyPaths = ['bus', 'fs', 'irq', 'sys', 'sysrq-trigger'].map((name) => `/proc/${name}`)
