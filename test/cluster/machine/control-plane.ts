import { cpSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Ran, type RunOptions, runLater } from '../../support/netns.ts'
import { Computer } from './computer.ts'
import { Part } from './part.ts'
import { pair, writeKubeconfig } from './pki.ts'
import { controlPlane, places, podRanges, serviceRanges } from './places.ts'
import { netnsPath } from './underlay.ts'
import { until } from './until.ts'

const pkiInside = '/etc/kubernetes/pki'
const certificate = (name: string): string => `${pkiInside}/${name}.crt`
const key = (name: string): string => `${pkiInside}/${name}.key`
const configInside = (name: string): string => `/etc/kubernetes/${name}.conf`

/** etcd, API server, controller manager and scheduler, on a computer of their own. */
export class ControlPlane {
  readonly computer = new Computer(controlPlane)
  readonly etcd: Part
  readonly apiServer: Part
  readonly controllerManager: Part
  readonly scheduler: Part

  constructor() {
    const part = (name: string, flags: readonly string[]): Part =>
      new Part(this.computer, name, [name, ...flags])
    this.etcd = part('etcd', etcdFlags)
    this.apiServer = part('kube-apiserver', apiServerFlags)
    this.controllerManager = part('kube-controller-manager', controllerManagerFlags)
    this.scheduler = part('kube-scheduler', schedulerFlags)
  }

  get parts(): readonly Part[] {
    return [this.etcd, this.apiServer, this.controllerManager, this.scheduler]
  }

  /** Boots the computer with everything that the parts read. */
  async boot(): Promise<void> {
    this.computer.makeDisk()
    const pki = join(this.computer.disk, pkiInside)
    mkdirSync(pki, { recursive: true })
    cpSync(places.pki, pki, { recursive: true })
    for (const name of ['controller-manager', 'scheduler']) {
      writeKubeconfig(join(this.computer.disk, configInside(name)), pair(name))
    }
    await this.computer.boot()
  }

  /** Starts what does not run; returns when the API server is ready. */
  async start(): Promise<void> {
    this.etcd.start()
    await this.startApiServer()
    this.controllerManager.start()
    this.scheduler.start()
  }

  async startApiServer(): Promise<void> {
    this.apiServer.start()
    await this.apiServer.ready(async () => {
      const asked = await this.kubectl(['get', '--raw', '/readyz'], { timeoutMs: 5_000 })
      return asked.code === 0
    })
  }

  /** kubectl as administrator: this machine's files, the control plane's network. */
  kubectl(words: readonly string[], options: RunOptions = {}): Promise<Ran> {
    return this.run([join(places.bin, 'kubectl'), ...words], options)
  }

  /** Any program of this machine, with KUBECONFIG, in the control plane's network. */
  run(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
    const env = withoutUndefined({ ...environmentOfAdmin(), ...options.env })
    return runLater(besideApiServer(argv), { ...options, env })
  }

  /** The objects that `kubectl get WORDS -o json` lists. */
  async list<T>(...words: readonly string[]): Promise<readonly T[]> {
    const asked = await this.kubectl(['get', ...words, '-o', 'json'])
    if (asked.code !== 0) throw new Error(`kubectl get ${words.join(' ')}: ${asked.stderr.trim()}`)
    return (JSON.parse(asked.stdout) as { readonly items: readonly T[] }).items
  }

  /** The API server answers again after it was away. */
  async reachable(): Promise<void> {
    await until('the API server', async () => (await this.kubectl(['get', 'ns'])).code === 0)
  }
}

/** The words that run a program in the network where the API server is at home. */
export function besideApiServer(argv: readonly string[]): readonly string[] {
  return ['nsenter', `--net=${netnsPath(controlPlane.name)}`, '--', ...argv]
}

/** This process's environment, with the cluster's programs and the administrator's rights. */
export const environmentOfAdmin = (): NodeJS.ProcessEnv => ({
  ...process.env,
  PATH: `${places.bin}:${process.env.PATH}`,
  KUBECONFIG: places.admin,
})

const withoutUndefined = (env: NodeJS.ProcessEnv): Record<string, string> =>
  Object.fromEntries(Object.entries(env).flatMap(([k, v]) => (v === undefined ? [] : [[k, v]])))

const etcdUrl = 'http://127.0.0.1:2379'

const etcdFlags = [
  '--data-dir=/var/lib/etcd',
  `--listen-client-urls=${etcdUrl}`,
  `--advertise-client-urls=${etcdUrl}`,
  '--listen-peer-urls=http://127.0.0.1:2380',
  // A cluster that lives for a test need not survive a power cut of this machine.
  '--unsafe-no-fsync',
]

const apiServerFlags = [
  `--etcd-servers=${etcdUrl}`,
  `--advertise-address=${controlPlane.v4}`,
  '--secure-port=6443',
  `--tls-cert-file=${certificate('apiserver')}`,
  `--tls-private-key-file=${key('apiserver')}`,
  `--client-ca-file=${certificate('ca')}`,
  `--kubelet-certificate-authority=${certificate('ca')}`,
  `--kubelet-client-certificate=${certificate('apiserver-kubelet')}`,
  `--kubelet-client-key=${key('apiserver-kubelet')}`,
  '--kubelet-preferred-address-types=InternalIP',
  '--service-account-issuer=https://kubernetes.default.svc',
  `--service-account-signing-key-file=${pkiInside}/service-accounts.key`,
  `--service-account-key-file=${pkiInside}/service-accounts.pub`,
  `--service-cluster-ip-range=${serviceRanges.join(',')}`,
  '--authorization-mode=Node,RBAC',
  '--enable-admission-plugins=NodeRestriction',
  '--allow-privileged=true',
  '--profiling=false',
]

const controllerManagerFlags = [
  `--kubeconfig=${configInside('controller-manager')}`,
  '--leader-elect=false',
  '--use-service-account-credentials=true',
  `--root-ca-file=${certificate('ca')}`,
  `--service-account-private-key-file=${pkiInside}/service-accounts.key`,
  `--cluster-signing-cert-file=${certificate('ca')}`,
  `--cluster-signing-key-file=${key('ca')}`,
  '--allocate-node-cidrs=true',
  `--cluster-cidr=${podRanges.join(',')}`,
  `--service-cluster-ip-range=${serviceRanges.join(',')}`,
  '--profiling=false',
]

const schedulerFlags = [
  `--kubeconfig=${configInside('scheduler')}`,
  '--leader-elect=false',
  '--profiling=false',
]
