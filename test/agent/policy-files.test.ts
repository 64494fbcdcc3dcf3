// Policies, pods and namespaces out of a folder of manifests: a node without Kubernetes.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { Cluster, nodeOf, three } from './cluster.ts'
import { fromClients, isRefusedSoon, PolicedNode, talks, talksSoon } from './policed-node.ts'
import { until } from './running-agent.ts'

const podOf = (name: string, app: string, addresses: readonly string[]): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'shop', labels: { app } },
  spec: { nodeName: 'a', containers: [{ name: 'c', ports: [{ containerPort: 8080 }] }] },
  status: { phase: 'Running', podIP: addresses[0], podIPs: addresses.map((ip) => ({ ip })) },
})

test('a folder of manifests is in force, and again when it changes', async (t) => {
  const cluster = new Cluster()
  const folder = join(cluster.folder, 'policies')
  const put = (name: string, ...objects: readonly object[]): void =>
    writeFileSync(join(folder, name), objects.map((one) => JSON.stringify(one)).join('\n---\n'))
  mkdirSync(folder)
  const [wish] = three
  if (!wish) throw new Error('no node')
  const guard = ['--node-port-guard', '9000/TCP=192.0.2.0/24']
  const words = ['--nodes-file', cluster.nodesFile, '--policy-files', folder, ...guard]
  const { host, agent } = cluster.add(wish, words)
  const node = new PolicedNode(cluster)
  try {
    cluster.tell([nodeOf(wish)])
    await agent.start().ready()
    const api = node.sandbox({ name: 'api' }, '', 0)
    const client = node.sandbox({ name: 'client' }, '', 0)
    const [address = ''] = api.addresses
    t.notOk(await talks(client.netns, address), 'the manifests do not have them yet')
    put(
      'pods.yaml',
      podOf('api', 'api', api.addresses),
      podOf('client', 'client', client.addresses),
    )
    await talksSoon(client.netns, address)
    put('policy.json', fromClients)
    await node.settled()
    t.ok(await talks(client.netns, address))
    put('pods.yaml', podOf('api', 'api', api.addresses), podOf('client', 'x', client.addresses))
    await isRefusedSoon(client.netns, address)
    put('broken.yaml', { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'A b' } })
    await until('the finding', async () =>
      (await agent.status()).findings.some(
        ({ check, meaning }) => check === 'policy-source' && meaning.includes('broken.yaml'),
      ),
    )
    t.notOk(await talks(client.netns, address))
    rmSync(join(folder, 'policy.json'))
    await talksSoon(client.netns, address)

    const rules = (): string =>
      host.netns.exec(['nft', 'list', 'table', 'inet', 'tulle-node-ports']).stdout
    t.match(rules(), /192\.0\.2\.0\/24 \. tcp \. 9000/)
    host.netns.exec(['nft', 'flush', 'ruleset'])
    await until('the guard of node ports', () => rules().includes('9000'))
    t.equal((await agent.status()).policy?.nodePortsRefused, 0)
    await talksSoon(client.netns, address)
  } finally {
    node.close()
    await cluster.close()
  }
})
