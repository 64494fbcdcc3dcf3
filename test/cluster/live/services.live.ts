// Services as kube-proxy makes them, in the mode that the cluster was started with: names, cluster
// addresses, node ports, and host ports, which are Tulle's own.
import t from 'tap'
import { liveCluster, withNamespace } from './live-cluster.ts'
import { answersOf, fromOutside, httpPort, isLost, lost, startPods } from './pods.ts'

t.setTimeout(300_000)

const cluster = liveCluster()
const { nodes } = cluster
const nodePort = 31_080
const ownHostPort = 18_080

t.test(`names, cluster addresses and node ports (${cluster.facts.proxyMode})`, (test) =>
  withNamespace(test, cluster, async (namespace) => {
    const servers = nodes.map(({ name: node }) => ({
      name: `server-${node}`,
      node,
      labels: { role: 'server' },
    }))
    const clients = nodes.map(({ name: node }) => ({ name: `client-${node}`, node }))
    await cluster.put(service, namespace)
    const pods = await startPods(cluster, namespace, [...servers, ...clients])
    const shown = await cluster.must([
      ...['-n', namespace, 'get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIPs[*]}'],
    ])
    const addresses = shown.trim().split(' ')
    test.equal(addresses.length, 2, 'the Service has an address of each family')
    const names = ['web', `web.${namespace}`, `web.${namespace}.svc.cluster.local`]
    const targets = [...names, ...addresses].map((host) => ({ host, port: 80 }))
    for (const pod of pods.filter(({ name }) => name.startsWith('client'))) {
      const asked = await answersOf(cluster, pod, targets, 'hostname')
      const wrong = asked.filter(({ said }) => !said.startsWith('server-'))
      test.same(wrong, [], `${pod.name}: by name and by address`)
    }

    const [first] = pods.filter(({ name }) => name.startsWith('server'))
    if (!first) throw new Error('There is no server')
    const itself = await answersOf(
      cluster,
      first,
      Array(6).fill({ host: 'web', port: 80 }),
      'hostname',
    )
    test.same(itself.filter(isLost), [], 'a server reaches its own Service, and itself through it')

    const sites = nodes.flatMap(({ site }) => [site.v4, site.v6])
    for (const host of sites) {
      const said = await fromOutside(cluster, { host, port: nodePort }, 'hostname')
      test.match(said, /^server-/, `from outside: node port of ${host}`)
    }
  }),
)

const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web' },
  spec: {
    type: 'NodePort',
    ipFamilyPolicy: 'RequireDualStack',
    selector: { role: 'server' },
    ports: [{ port: 80, targetPort: httpPort, nodePort }],
  },
}

t.test('host ports lead to the pod of that node alone, and are gone with it', (test) =>
  withNamespace(test, cluster, async (namespace) => {
    const ports = [{ name: 'mapped', containerPort: httpPort, hostPort: ownHostPort }]
    const pods = await startPods(cluster, namespace, [
      { name: 'ported', node: 'w2', ports },
      { name: 'client', node: 'w3' },
    ])
    const client = pods.find(({ name }) => name === 'client')
    if (!client) throw new Error('There is no client')
    const { site } = cluster.node('w2')
    for (const host of [site.v4, site.v6]) {
      const target = { host, port: ownHostPort }
      test.equal(await fromOutside(cluster, target, 'hostname'), 'ported', `outside: ${host}`)
      const [answer] = await answersOf(cluster, client, [target], 'hostname')
      test.equal(answer?.said, 'ported', `from another node's pod: ${host}`)
    }
    const other = { host: cluster.node('w1').site.v4, port: ownHostPort }
    test.equal(await fromOutside(cluster, other, 'hostname'), lost, 'other nodes have no such port')
    await cluster.must(['-n', namespace, 'delete', 'pod', 'ported'])
    const gone = { host: site.v4, port: ownHostPort }
    test.equal(await fromOutside(cluster, gone, 'hostname'), lost, 'gone with the pod')
  }),
)
