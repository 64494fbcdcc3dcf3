import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { rehearsalFolder } from '../../../src/plugin/worker/rehearsal.ts'
import { RunningAgent, until, writeNodes } from '../../agent/running-agent.ts'
import { executable, type Json } from '../../support/cni.ts'
import { type Netns, run } from '../../support/netns.ts'
import { podName, podNamespace, subnet4 } from '../conf.ts'

const nodeName = 'bench'

/**
 * Puts the launcher into a folder, with the executable beside it; the launcher's path.
 * @param runDir where it finds the agent's socket
 */
export function installWarm(directory: string, runDir: string): string {
  mkdirSync(directory, { recursive: true })
  const words = ['install', '--warm', '--dir', directory, '--run-dir', runDir]
  const done = run([executable, ...words])
  if (done.code !== 0) throw new Error(`Cannot install: ${done.stderr.trim()}`)
  return join(directory, 'tulle')
}

/** An agent of the node whose pods are those of the run, and the launcher that finds it. */
export class AgentNode {
  readonly agent: RunningAgent
  readonly launcher: string
  readonly runDir: string
  /** Of the store that agent and plugin share. */
  readonly dataDir: string

  /** @param folder for all its files; on disk, as a node's store is */
  constructor(node: Netns, folder: string) {
    const at = (name: string): string => join(folder, name)
    mkdirSync(at('policies'), { recursive: true })
    writeNodes(at('nodes.yaml'), [{ name: nodeName, address: '192.0.2.2', podCIDRs: [subnet4] }])
    for (const object of clusterObjects())
      writeFileSync(at(`policies/${object.kind}.json`), JSON.stringify(object))
    const files = ['--nodes-file', at('nodes.yaml'), '--policy-files', at('policies')]
    this.agent = new RunningAgent(node, nodeName, files, folder)
    this.runDir = at('run')
    this.dataDir = at('data')
    this.launcher = installWarm(at('bin'), this.runDir)
  }

  /**
   * Ready, and its worker listens and has practised: from here on no call needs a process, and the
   * agent's start is not counted as a call's.
   */
  async start(): Promise<void> {
    this.agent.start()
    const rehearsal = join(this.runDir, rehearsalFolder)
    await until('the rehearsal to begin', () => existsSync(rehearsal))
    await until('the rehearsal to end', () => !existsSync(rehearsal))
    await this.agent.ready()
    await until('the socket of launchers', () => existsSync(join(this.runDir, 'cni.sock')))
  }
}

/** The pod that every call is about, and what it may say and hear. */
function clusterObjects(): readonly (Json & { readonly kind: string })[] {
  const metadata = { name: podName, namespace: podNamespace, labels: { app: 'bench' } }
  const clients = { podSelector: { matchLabels: { app: 'client' } } }
  return [
    {
      ...{ apiVersion: 'v1', kind: 'Namespace' },
      metadata: { name: podNamespace, labels: { 'kubernetes.io/metadata.name': podNamespace } },
    },
    {
      ...{ apiVersion: 'v1', kind: 'Pod', metadata },
      spec: { nodeName, containers: [{ name: 'bench' }] },
      status: { phase: 'Running' },
    },
    {
      ...{ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy' },
      metadata: { name: 'bench', namespace: podNamespace },
      spec: {
        podSelector: {},
        policyTypes: ['Ingress', 'Egress'],
        ingress: [{ from: [clients], ports: [{ port: 80, protocol: 'TCP' }] }],
        egress: [{ to: [clients] }],
      },
    },
  ]
}
