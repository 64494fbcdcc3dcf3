import { fileURLToPath } from 'node:url'
import { type Client, credentials, loadPackageDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

/** The messages of cri.proto, in the shape that the loader gives them (names kept). */
export type Condition = Readonly<{
  type: string
  status: boolean
  reason: string
  message: string
}>
export type Sandbox = Readonly<{
  id: string
  /** The first address of the status, then the additional ones. */
  ips: readonly string[]
  ready: boolean
  pid: number
  netnsPath: string
}>
export type PodConfig = Readonly<{
  name: string
  cgroupParent: string
  hostPort?: number
  annotations?: Readonly<Record<string, string>>
}>

/** What containerd tells of a sandbox in a verbose status; not part of the interface. */
type Verbose = {
  readonly pid: number
  readonly runtimeSpec: { linux: { namespaces: { type: string; path?: string }[] } }
}

const callLimitMs = 60_000
type Method = (request: object, options: { deadline: Date }, done: Done) => void
type Done = (refusal: Error | null, answer: unknown) => void
type Service = new (address: string, credentials: unknown) => Client & Record<string, Method>

/** A client of the container runtime interface on a Unix socket, as the kubelet is one. */
export class Cri {
  readonly #service: Client & Record<string, Method>

  constructor(socketPath: string) {
    const source = fileURLToPath(new URL('./cri.proto', import.meta.url))
    const definition = loadSync(source, { keepCase: true, longs: Number, defaults: true })
    const { runtime } = loadPackageDefinition(definition) as unknown as {
      runtime: { v1: { RuntimeService: Service } }
    }
    const insecure = credentials.createInsecure()
    this.#service = new runtime.v1.RuntimeService(`unix://${socketPath}`, insecure)
  }

  version(): Promise<Readonly<{ runtime_name: string; runtime_version: string }>> {
    return this.#call('Version', {})
  }

  /** RuntimeReady, NetworkReady and what else the runtime reports of itself. */
  async conditions(): Promise<readonly Condition[]> {
    type Answer = { status: { conditions: Condition[] } }
    return (await this.#call<Answer>('Status', {})).status.conditions
  }

  async run({ name, cgroupParent, hostPort, annotations = {} }: PodConfig): Promise<string> {
    const config = {
      metadata: { name, uid: `uid-of-${name}`, namespace: 'default', attempt: 0 },
      hostname: name,
      port_mappings: hostPort === undefined ? [] : [{ container_port: 80, host_port: hostPort }],
      annotations,
      linux: { cgroup_parent: cgroupParent },
    }
    type Answer = { pod_sandbox_id: string }
    return (await this.#call<Answer>('RunPodSandbox', { config })).pod_sandbox_id
  }

  async sandbox(id: string): Promise<Sandbox> {
    type Network = { ip: string; additional_ips: { ip: string }[] }
    type Answer = { status: { state: string | number; network: Network }; info: { info: string } }
    const request = { pod_sandbox_id: id, verbose: true }
    const { status, info } = await this.#call<Answer>('PodSandboxStatus', request)
    const { ip, additional_ips: more } = status.network
    const { pid, runtimeSpec } = JSON.parse(info.info) as Verbose
    const netns = runtimeSpec.linux.namespaces.find(({ type }) => type === 'network')
    return {
      id,
      ips: ip === '' ? [] : [ip, ...more.map((additional) => additional.ip)],
      ready: status.state === 0,
      pid,
      netnsPath: netns?.path ?? '',
    }
  }

  stop(id: string): Promise<unknown> {
    return this.#call('StopPodSandbox', { pod_sandbox_id: id })
  }

  remove(id: string): Promise<unknown> {
    return this.#call('RemovePodSandbox', { pod_sandbox_id: id })
  }

  async list(): Promise<readonly string[]> {
    const { items } = await this.#call<{ items: { id: string }[] }>('ListPodSandbox', {})
    return items.map(({ id }) => id)
  }

  close(): void {
    this.#service.close()
  }

  #call<Answer>(method: string, request: object): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const deadline = new Date(Date.now() + callLimitMs)
      const done: Done = (refusal, answer) =>
        refusal === null ? resolve(answer as Answer) : reject(refusal)
      const call = this.#service[method]
      if (call === undefined) throw new Error(`cri.proto has no method ${method}`)
      call.call(this.#service, request, { deadline }, done)
    })
  }
}
