// Flannel's own code, built from its Go module, beside agents of Tulle on one API: a cluster that
// is moved node by node. What it writes to Nodes and to the kernel is its, not our reading of it.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { TestNode } from '../support/underlay.ts'
import { type NodeWish, nodeOf, withKubernetes } from './cluster.ts'
import { until } from './running-agent.ts'

t.setTimeout(600_000)

const folder = mkdtempSync(join(tmpdir(), 'tt-flannel-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const flanneld = join(folder, 'flanneld')
const built = spawnSync('go', ['build', '-o', flanneld, '.'], {
  cwd: fileURLToPath(new URL('../peers/flanneld', import.meta.url)),
  encoding: 'utf8',
})
if (built.status !== 0) throw new Error(`go build: ${built.error?.message ?? built.stderr}`)

const conf = { Network: '10.244.0.0/16', EnableIPv4: true, Backend: { Type: 'vxlan', VNI: 1 } }
writeFileSync(join(folder, 'net-conf.json'), JSON.stringify(conf))

class Flannel {
  readonly host: TestNode
  #process: ChildProcess | undefined
  #said = ''

  constructor(host: TestNode) {
    this.host = host
  }

  start(api: string): void {
    const { name } = this.host.node
    const words = [
      ...['-kube-api-url', api, '-iface', 'eth0'],
      ...['-net-config-path', join(folder, 'net-conf.json')],
      ...['-subnet-file', join(folder, `${name}.env`)],
    ]
    const child = spawn('nsenter', [`--net=${this.host.netns.path}`, flanneld, ...words], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: process.env.PATH, NODE_NAME: name, HOME: folder },
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-2000)
    })
    this.#process = child
  }

  get said(): string {
    return this.#said
  }

  /** Gone with all that it made: the node is taken over. */
  async end(): Promise<void> {
    const child = this.#process
    if (!child) return
    this.#process = undefined
    await new Promise<void>((resolve) => {
      child.once('exit', () => resolve())
      child.kill('SIGTERM')
    })
    this.host.netns.exec(['ip', 'link', 'del', 'flannel.1'])
  }
}

const wishes: readonly NodeWish[] = [
  { name: 'a', addresses: ['10.0.0.1'], podCIDRs: ['10.244.1.0/24'] },
  { name: 'b', addresses: ['10.0.0.2'], podCIDRs: ['10.244.2.0/24'] },
  { name: 'c', addresses: ['10.1.0.3'], podCIDRs: ['10.244.3.0/24'], segment: 'far' },
]
const [first, ...rest] = wishes
if (!first) throw new Error('no first node')

t.test('a cluster of Flannel is moved to Tulle node by node, and pods reach each other', (t) =>
  withKubernetes(
    [first],
    async (cluster, api) => {
      const flannels = new Map<string, Flannel>()
      for (const wish of rest) {
        const { host } = cluster.add(wish, ['--kubeconfig', api.kubeconfig, '--flannel-compat'])
        // Flannel can't write to a Node that has no annotations at all.
        await api.put(nodeOf(wish), { 'node.alpha.kubernetes.io/ttl': '0' })
        const flannel = new Flannel(host)
        flannels.set(wish.name, flannel)
        flannel.start('http://10.0.0.250:6443')
      }
      try {
        await allReach(cluster.members, flannels)
        t.pass('one node of Tulle, two of Flannel')
        for (const [name, flannel] of flannels) {
          await flannel.end()
          flannels.delete(name)
          cluster.get(name).agent.start()
          await allReach(cluster.members, flannels)
          t.pass(`${name} is Tulle's`)
        }
        const { peers } = await cluster.get('a').agent.status()
        t.match(
          peers.map(({ name, isFlannel }) => [name, isFlannel]),
          [
            ['b', false],
            ['c', false],
          ],
        )
      } finally {
        for (const flannel of flannels.values()) await flannel.end()
      }
    },
    ['--flannel-compat'],
  ),
)

async function allReach(
  members: ReadonlyMap<string, { readonly host: TestNode }>,
  flannels: ReadonlyMap<string, Flannel>,
): Promise<void> {
  for (const [from, { host }] of members)
    for (const [to, other] of members)
      if (from !== to)
        await until(`${from} reaches ${to}`, () => host.reaches(other.host, 4)).catch(
          (cause: unknown) => {
            const said = [...flannels.values()].map((flannel) => flannel.said).join('\n')
            throw new Error(`${from} does not reach ${to}; Flannel said: ${said}`, { cause })
          },
        )
}
