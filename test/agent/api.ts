import { type ChildProcess, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { formatAddress } from '../../src/base/address.ts'
import { formatPrefix } from '../../src/base/prefix.ts'
import type { ClusterNode } from '../../src/cluster/node.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { batch, type Underlay } from '../support/underlay.ts'

type Json = { readonly [key: string]: unknown }

const address = '10.0.0.250'
const port = 6443

/** The API stand-in on the near segment, and a kubeconfig that leads there. */
export class Api {
  readonly netns: Netns
  readonly kubeconfig: string
  readonly #control: string
  #process: ChildProcess | undefined

  constructor(underlay: Underlay, folder: string) {
    this.netns = makeNetns('api')
    this.#control = join(folder, 'api.sock')
    this.kubeconfig = join(folder, 'kubeconfig')
    underlay.plug(this.netns, 'eth0', 'near')
    batch(this.netns, [
      `addr add ${address}/24 dev eth0`,
      'route add default via 10.0.0.254 dev eth0',
    ])
    const entry = { name: 'test', cluster: { server: `http://${address}:${port}` } }
    const context = { name: 'test', context: { cluster: 'test', user: 'test' } }
    writeFileSync(
      this.kubeconfig,
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'test',
        clusters: [entry],
        contexts: [context],
        users: [{ name: 'test', user: {} }],
      }),
    )
  }

  start(): Promise<void> {
    const program = fileURLToPath(new URL('../support/api-process.ts', import.meta.url))
    const listen = ['--listen', `${address}:${port}`, '--control', this.#control]
    const child = spawn('nsenter', [
      `--net=${this.netns.path}`,
      process.execPath,
      program,
      ...listen,
    ])
    this.#process = child
    return new Promise((resolve, reject) => {
      child.stderr.on('data', (text) => reject(new Error(String(text))))
      child.stdout.once('data', () => resolve())
    })
  }

  put(node: ClusterNode, annotations: Json = {}): Promise<Json> {
    return this.ask('POST', '/api/v1/nodes', {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: node.name, annotations },
      ...this.#parts(node),
    })
  }

  /** Spec and status as they are now; spec.podCIDRs can't change in a real one, but here. */
  async change(node: ClusterNode): Promise<void> {
    const { spec, status } = this.#parts(node)
    await this.ask('PATCH', `/api/v1/nodes/${node.name}`, { spec })
    await this.ask('PATCH', `/api/v1/nodes/${node.name}/status`, { status })
  }

  /** As kubelet does every few minutes. */
  beat(name: string, count: number): Promise<Json> {
    const conditions = [{ type: 'Ready', status: 'True', lastHeartbeatTime: String(count) }]
    return this.ask('PATCH', `/api/v1/nodes/${name}/status`, { status: { conditions } })
  }

  delete(name: string): Promise<Json> {
    return this.ask('DELETE', `/api/v1/nodes/${name}`)
  }

  node(name: string): Promise<Json> {
    return this.ask('GET', `/api/v1/nodes/${name}`)
  }

  events(): Promise<Json> {
    return this.ask('GET', '/apis/events.k8s.io/v1/events')
  }

  /** "watch nodes": nobody may any more. */
  deny(right: string): Promise<Json> {
    return this.ask('POST', `/stand-in/deny?right=${encodeURIComponent(right)}`)
  }

  grant(right: string): Promise<Json> {
    return this.ask('POST', `/stand-in/grant?right=${encodeURIComponent(right)}`)
  }

  /** Nobody reaches it any more, or again. */
  cut(): void {
    this.netns.ip('link', 'set', 'eth0', 'down')
  }

  mend(): void {
    this.netns.ip('link', 'set', 'eth0', 'up')
    this.netns.ip('route', 'replace', 'default', 'via', '10.0.0.254', 'dev', 'eth0')
  }

  kill(): void {
    this.#process?.kill('SIGKILL')
  }

  close(): void {
    this.kill()
    this.netns.close()
  }

  #parts({ addresses, podCIDRs }: ClusterNode): Json {
    const texts = podCIDRs.map(formatPrefix)
    return {
      spec: { podCIDR: texts[0], podCIDRs: texts },
      status: {
        addresses: addresses.map((one) => ({ type: 'InternalIP', address: formatAddress(one) })),
      },
    }
  }

  /** Any request, as kubectl would make it; a refusal throws. */
  ask(method: string, path: string, body?: Json): Promise<Json> {
    return new Promise((resolve, reject) => {
      const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
      const headers = { 'content-type': type }
      const asked = request(
        { socketPath: this.#control, method, path, headers, agent: false },
        (response) => {
          let text = ''
          response.setEncoding('utf8')
          response.on('data', (part: string) => {
            text += part
          })
          response.on('end', () => {
            if ((response.statusCode ?? 500) < 300) resolve(JSON.parse(text) as Json)
            else reject(new Error(`${method} ${path}: ${response.statusCode} ${text}`))
          })
        },
      )
      asked.on('error', reject).end(body === undefined ? undefined : JSON.stringify(body))
    })
  }
}
