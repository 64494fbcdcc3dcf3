import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Ran, RunOptions } from '../../support/netns.ts'
import type { Tools } from '../build.ts'
import { removeCgroups } from './cgroups.ts'
import type { Computer } from './computer.ts'
import { ControlPlane } from './control-plane.ts'
import { ClusterNode } from './node.ts'
import type { ProxyMode } from './node-configuration.ts'
import { makePki } from './pki.ts'
import { nodeSites, places, stateDir } from './places.ts'
import { strays } from './remains.ts'
import { makeFabric, plug, removeNetworks, routeToPods } from './underlay.ts'
import { until } from './until.ts'

export type ClusterWish = Readonly<{
  tools: Tools
  proxyMode: ProxyMode
  /** Docker-archives besides those of the tools. */
  images: readonly string[]
  /** Texts of manifests that make it whole: DNS, the pod network. */
  manifests: readonly string[]
}>

/** Runs one step of the way up and tells of it. */
export type Step = <T>(what: string, work: () => Promise<T>) => Promise<T>

export type Facts = Readonly<{ proxyMode: ProxyMode; tools: Tools; startedAt: string }>

/** The cluster of this machine, running or not: there is one, and its state is a folder. */
export class Cluster {
  readonly controlPlane = new ControlPlane()
  readonly nodes: readonly ClusterNode[] = nodeSites.map((site) => new ClusterNode(site))

  get computers(): readonly Computer[] {
    return [this.controlPlane.computer, ...this.nodes.map(({ computer }) => computer)]
  }

  get exists(): boolean {
    return existsSync(stateDir)
  }

  get isRunning(): boolean {
    return this.exists && this.computers.every(({ first }) => first !== undefined)
  }

  get facts(): Facts {
    return JSON.parse(readFileSync(places.facts, 'utf8')) as Facts
  }

  node(name: string): ClusterNode {
    const found = this.nodes.find((one) => one.name === name)
    if (found) return found
    const names = this.nodes.map((one) => one.name).join(', ')
    throw new Error(`There is no node ${name}; there are ${names}`)
  }

  kubectl(words: readonly string[], options: RunOptions = {}): Promise<Ran> {
    return this.controlPlane.kubectl(words, options)
  }

  /** As `kubectl`, but what is not well throws with what it said. */
  async must(words: readonly string[], options: RunOptions = {}): Promise<string> {
    const ran = await this.kubectl(words, options)
    if (ran.code === 0) return ran.stdout
    throw new Error(`kubectl ${words.join(' ')}: exit ${ran.code}: ${ran.stderr.trim()}`)
  }

  /** Creates or changes objects from a manifest's text, YAML or JSON. */
  apply(text: string): Promise<string> {
    return this.must(['apply', '-f', '-'], { input: text })
  }

  /** The same from an object or a List; `namespace` is of those that name none. */
  put(object: object, namespace?: string): Promise<string> {
    const place = namespace === undefined ? [] : ['-n', namespace]
    return this.must([...place, 'apply', '-f', '-'], { input: JSON.stringify(object) })
  }

  /** From nothing to nodes that are ready. */
  async up(wish: ClusterWish, step: Step): Promise<void> {
    const { controlPlane, nodes } = this
    await step('certificates, networks', async () => {
      this.#claim(wish)
      await Promise.all([makePki(nodeSites), makeFabric()])
    })
    await Promise.all([
      step('API server ready', async () => {
        await plug(controlPlane.computer.site)
        await controlPlane.boot()
        await controlPlane.start()
      }),
      step('containerd on three nodes, images imported', () =>
        Promise.all(nodes.map((node) => this.#prepare(node, wish))),
      ),
    ])
    for (const node of nodes) node.join()
    await Promise.all([
      step('nodes registered, with pod ranges', () => this.#routeToPods()),
      step('manifests applied', async () => {
        // One request at a time: what comes first may be asked for by what follows.
        for (const text of wish.manifests) await this.apply(text)
      }),
    ])
  }

  async nodesReady(limitMs = 120_000): Promise<void> {
    const ask = async (): Promise<boolean> => {
      const shown = await this.controlPlane.list<NodeObject>('nodes')
      const notReady = shown.filter((one) => !isReady(one)).map(({ metadata }) => metadata.name)
      if (notReady.length > 0) throw new Error(`not ready: ${notReady.join(', ')}`)
      return shown.length === this.nodes.length
    }
    await until('three nodes to be ready', ask, { limitMs })
  }

  /** Every Deployment and DaemonSet of a namespace has all its pods, ready. */
  async rolledOut(namespace: string, limitMs = 120_000): Promise<void> {
    const kinds = 'deployments,daemonsets'
    const names = (await this.must(['-n', namespace, 'get', kinds, '-o', 'name'])).split('\n')
    const timeout = `--timeout=${limitMs / 1000}s`
    for (const name of names.filter((one) => one !== '')) {
      const words = ['-n', namespace, 'rollout', 'status', name, timeout]
      await this.must(words, { timeoutMs: limitMs + 10_000 })
    }
  }

  /** Takes everything away, also what a broken start left. */
  async down(): Promise<void> {
    await Promise.all(this.computers.map((computer) => computer.cut()))
    for (const { pid } of strays()) killIfThere(pid)
    await removeNetworks()
    await removeCgroups()
    rmSync(stateDir, { recursive: true, force: true })
  }

  #claim({ tools, proxyMode }: ClusterWish): void {
    mkdirSync(stateDir, { mode: 0o711 }) // refused if it is there: one cluster at a time
    mkdirSync(places.logs)
    symlinkSync(tools.bin, places.bin)
    const facts: Facts = { proxyMode, tools, startedAt: new Date().toISOString() }
    writeFileSync(places.facts, `${JSON.stringify(facts, undefined, 2)}\n`)
  }

  async #prepare(node: ClusterNode, { tools, proxyMode, images }: ClusterWish): Promise<void> {
    node.makeDisk(proxyMode)
    await node.boot()
    const tars = readdirSync(tools.images).filter((name) => name.endsWith('.tar'))
    for (const tar of [...tars.map((name) => join(tools.images, name)), ...images]) {
      await node.importImage(tar)
    }
  }

  async #routeToPods(): Promise<void> {
    for (const node of this.nodes) {
      let podCIDRs: readonly string[] = []
      await node.kubelet.ready(async () => {
        const words = ['get', 'node', node.name, '-o', 'jsonpath={.spec.podCIDRs[*]}']
        podCIDRs = (await this.must(words)).split(' ').filter((one) => one !== '')
        return podCIDRs.length === 2
      })
      await routeToPods(node.site, podCIDRs)
    }
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (refusal) {
    if ((refusal as NodeJS.ErrnoException).code !== 'ESRCH') throw refusal
  }
}

type NodeObject = Readonly<{
  metadata: { readonly name: string }
  status: { readonly conditions: readonly { readonly type: string; readonly status: string }[] }
}>

const isReady = ({ status }: NodeObject): boolean =>
  status.conditions.some(({ type, status: said }) => type === 'Ready' && said === 'True')
