import { existsSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { type Member, three, withKubernetes } from '../agent/cluster.ts'
import { until } from '../agent/running-agent.ts'
import { call, type Json } from '../support/cni.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { PodContainer } from './pod-container.ts'

// The agent as a container of the manifest: its one capability, its mounts and a read-only root are
// enough for everything that it does. What other tests show of an agent outside of one is looked
// at here by one example a kind.

t.setTimeout(120_000)

t.test('the agent does all its work in the container of the manifest', (t) =>
  withKubernetes(three, async (cluster, api) => {
    const a = cluster.get('a')
    await a.agent.end('SIGTERM')
    const container = new PodContainer(a.host.netns, 'a', {
      'agent.yaml': 'kubeconfig: /etc/tulle/kubeconfig\n',
      kubeconfig: readFileSync(api.kubeconfig, 'utf8'),
    })
    const pod = makeNetns('pod')
    t.teardown(() => {
      container.close()
      pod.close()
    })
    container.start()
    await until('readiness', () => isReady(container)).catch(() => t.fail(container.log))

    const status = readFileSync(`/proc/${container.pid}/status`, 'utf8')
    t.match(status, /^CapEff:\s*0000000000001000$/m, 'NET_ADMIN and nothing else')
    t.match(status, /^CapBnd:\s*0000000000001000$/m)
    t.match(status, /^NoNewPrivs:\s*1$/m)

    t.ok(existsSync(container.node('/opt/cni/bin/tulle')), 'the plugin is installed')
    t.equal(add(container, a, pod).code, 0)
    pod.close() // and nobody calls DEL

    await heals(t, a.host.netns)
    await cluster.allReach()

    const collected = (): boolean => container.log.includes('collected what a gone pod left')
    // Looked for every 15 s, and taken away if it is gone for 30.
    for (let tries = 0; tries < 650 && !collected(); tries++) await sleep(100)
    t.ok(collected(), 'what the gone pod left is gone')
    t.equal(container.exec(['/usr/bin/tulle', 'doctor']).code, 0, 'nothing is amiss')
    t.equal(await container.stop(), 0, 'SIGTERM ends it')
    t.match(a.host.netns.ip('route'), '10.244.2.0/24', 'and leaves the data path')
  }),
)

/** One of each kind that the agent looks after. */
async function heals(t: Tap, node: Netns): Promise<void> {
  const sysctl = (key: string): string => node.exec(['sysctl', '-n', key]).stdout.trim()
  node.ip('link', 'del', 'tulle.1')
  await until('the tunnel', () => sysctl('net.ipv4.conf.tulle/1.rp_filter') === '2')
  node.ip('route', 'del', '10.244.2.0/24')
  await until('the route', () => node.ip('route').includes('10.244.2.0/24'))
  node.exec(['sysctl', '-w', 'net.ipv4.ip_forward=0'])
  await until('forwarding', () => sysctl('net.ipv4.ip_forward') === '1')
  const before = tables(node)
  t.match(before, 'table inet tulle-policy')
  node.exec(['nft', 'flush', 'ruleset'])
  await until('nftables', () => tables(node) === before)
}

/** All but the generation, which every load of all policies counts up. */
const tables = (node: Netns): string =>
  ['tulle', 'tulle-policy']
    .map((name) => node.exec(['nft', 'list', 'table', 'inet', name]).stdout)
    .join('')
    .replace(/.*"generation \d+"/g, '')

/** As the runtime on the node, where the same files have other names in this test. */
function add(container: PodContainer, { host }: Member, pod: Netns) {
  const list = readFileSync(container.node('/etc/cni/net.d/10-tulle.conflist'), 'utf8')
  const { plugins } = JSON.parse(list) as { readonly plugins: readonly [Json] }
  const [{ ipam, ...plugin }] = plugins
  return call({
    verb: 'ADD',
    plugin: container.node('/opt/cni/bin/tulle'),
    conf: {
      ...plugin,
      cniVersion: '1.0.0',
      name: 'tulle',
      policy: { enforce: true, waitSeconds: 0, runDir: container.node('/run/tulle') },
      ipam: { ...(ipam as Json), dataDir: container.node('/var/lib/cni/tulle') },
    },
    node: host.netns,
    container: 'gone',
    netns: pod.path,
    ifname: 'eth0',
    path: container.node('/opt/cni/bin'),
    args: 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web',
  })
}

type Tap = { readonly match: (found: unknown, wanted: unknown) => boolean }

function isReady(container: PodContainer): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socketPath = container.node('/run/tulle/agent.sock')
    request({ socketPath, path: '/readyz', agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
      .on('error', reject)
      .end()
  })
}
