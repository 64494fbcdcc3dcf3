import t from 'tap'
import { stringify } from 'yaml'
import { cnp, namespace, np, pod } from '../policy/objects.ts'
import { type Live, withLive } from './live.ts'

t.setTimeout(120_000)

const closed = np('x/closed', { podSelector: {}, ingress: [{ ports: [{ port: 80 }] }] })
const opened = np('x/closed', { podSelector: {}, ingress: [{ ports: [{ port: 443 }] }] })
const objects = [
  namespace('x'),
  pod('x/a', { ip: '10.0.0.1' }),
  pod('x/b', { ip: '10.0.0.2', ports: ['80', '443'] }),
]
const flow = (from: string, to: string, port: number) => ({ from, to, protocol: 'TCP', port })
const matrix = {
  allowed: [flow('x/a', 'x/b', 80), flow('x/b', 'x/a', 80)],
  denied: [flow('x/a', 'x/b', 443)],
}
const asked = ['policy', 'matrix', '--json'] as const

t.test('the cluster of a kubeconfig, of KUBECONFIG, and of the home folder', (t) =>
  withLive(async ({ put, tool, kubeconfig, write, api }) => {
    put(...objects, closed)
    const plain = { code: 0, stderr: '', stdout: `${JSON.stringify(matrix)}\n` }
    t.same(await tool([...asked, '--kubeconfig', kubeconfig]), plain)
    t.same(await tool(asked, { KUBECONFIG: kubeconfig }), plain)
    t.match(await tool(asked), { code: 2, stdout: '', stderr: /no kubeconfig .* --from DIR/ })
    const nowhere = { KUBECONFIG: '/nowhere' }
    t.match(await tool(asked, nowhere), { code: 2, stdout: '', stderr: /\/nowhere/ })
    const two = { KUBECONFIG: `${kubeconfig}:/other` }
    t.match(await tool(asked, two), { code: 2, stderr: /several files .* --kubeconfig/ })
    write('.kube/config', `${JSON.stringify({})}`)
    t.match(await tool(asked), { code: 2, stderr: /\.kube\/config: it has no current-context/ })
    t.notOk(
      api.requests.some((one) => one.includes('/services')),
      'rights that are not needed are not used',
    )
  }),
)

t.test('lists of several pages, and a list whose pages expire', (t) =>
  withLive(async ({ put, tool, kubeconfig, api }) => {
    put(...objects, closed)
    for (let index = 0; index < 1_200; index++)
      put(pod(`y/p${index}`, { ip: `10.1.${index >> 8}.${index & 255}`, ports: [] }))
    const words = [...asked, '--namespace', 'x', '--kubeconfig', kubeconfig]
    let pages = 0
    api.onRequest = () => {
      if (api.requests.at(-1)?.includes('pods?') && ++pages === 2) api.compact()
    }
    const { allowed } = JSON.parse((await tool(words)).stdout) as typeof matrix
    t.equal(allowed.length, 2 + 1_200 * 2, 'each pod once: 80 of both from everywhere')
    t.ok(pages > 3)
  }),
)

t.test('files over the cluster: same kind and name replaces', (t) =>
  withLive(async ({ put, tool, kubeconfig, write }) => {
    put(...objects, closed)
    const from = write('after.yaml', stringify(opened))
    const ran = await tool([...asked, '--from', from, '--kubeconfig', kubeconfig])
    t.same(JSON.parse(ran.stdout), {
      allowed: [flow('x/a', 'x/b', 443)],
      denied: [flow('x/a', 'x/b', 80), flow('x/b', 'x/a', 80)],
    })
    const env = { KUBECONFIG: kubeconfig }
    t.same(await tool([...asked, '--from', from, '--cluster'], env), ran)
    const alone = await tool([...asked, '--from', from], env)
    t.same(JSON.parse(alone.stdout), { allowed: [], denied: [] }, 'files alone have no pods')
    const changes = {
      opened: [flow('x/a', 'x/b', 443)],
      closed: [flow('x/a', 'x/b', 80), flow('x/b', 'x/a', 80)],
    }
    const diff = (...words: readonly string[]) => tool(['policy', 'diff', ...words, '--json'], env)
    const forth = await diff('cluster', from)
    t.equal(forth.code, 1)
    t.same(JSON.parse(forth.stdout), changes)
    const back = await diff(from, 'cluster')
    t.same(JSON.parse(back.stdout), { opened: changes.closed, closed: changes.opened })
    t.match(await diff('cluster', 'cluster'), { code: 0 })
    const before = write('before.yaml', stringify(closed))
    t.same(JSON.parse((await diff(before, from, '--cluster')).stdout), changes)
    t.match(await diff(before, from), { code: 0 }, 'files alone')
  }),
)

t.test('explain and lint of the cluster; both kinds of policy', (t) =>
  withLive(async ({ put, tool, kubeconfig }) => {
    const http = { toPorts: [{ ports: [{ port: '80' }], rules: { http: [{}] } }] }
    put(...objects, cnp('x/l7', { endpointSelector: {}, ingress: [http] }))
    const words = (...some: readonly string[]) => [...some, '--kubeconfig', kubeconfig]
    const ran = await tool(words('policy', 'explain', 'x/a', 'x/b', '80'))
    t.equal(ran.code, 1)
    t.match(ran.stdout, /isolated by CiliumNetworkPolicy x\/l7/)
    t.match(ran.stderr, /^refused: the cluster, CiliumNetworkPolicy x\/l7: .*rules/m)
    t.match(await tool(words('policy', 'lint')), { code: 1, stdout: /Namespace x / })
  }),
)

t.test('what an API server has taken is refused, not wrong', (t) =>
  withLive(async ({ put, tool, kubeconfig }) => {
    const odd = np('x/odd', { podSelector: {}, ingress: [{ ports: [{ port: 0 }] }] })
    put(...objects, odd)
    const ran = await tool([...asked, '--kubeconfig', kubeconfig])
    t.equal(ran.code, 0)
    t.match(ran.stderr, /^refused: the cluster, NetworkPolicy x\/odd: .*port is 0/)
    t.same(JSON.parse(ran.stdout).allowed, [])
  }),
)

t.test('a cluster that does not know CiliumNetworkPolicies', (t) =>
  withLive(async ({ put, tool, kubeconfig, api }) => {
    put(...objects, closed)
    api.faults.undefinedResources.add('cilium.io/ciliumnetworkpolicies')
    const ran = await tool([...asked, '--kubeconfig', kubeconfig])
    t.match(ran, { code: 0, stderr: '', stdout: JSON.stringify(matrix) })
    api.faults.undefinedResources.add('networking.k8s.io/networkpolicies')
    const other = await tool([...asked, '--kubeconfig', kubeconfig])
    t.match(other, { code: 2, stdout: '', stderr: /networkpolicies at .*: 404/ })
  }),
)

for (const { why, fault, said } of [
  {
    why: 'no right to list pods',
    fault: ({ api }: Live) => api.faults.denied.add('list pods'),
    said: /pods at .*: 403 .*policies select pods.*apiGroups: \[""\], resources: \["pods"\], .*list/,
  },
  {
    why: 'no right to list policies of Cilium',
    fault: ({ api }: Live) => api.faults.denied.add('list ciliumnetworkpolicies'),
    said: /resources: \["ciliumnetworkpolicies"\]/,
  },
  {
    why: 'a token that is good no more',
    fault: ({ api }: Live) => api.faults.tokens.add('other'),
    said: /401 .*log in again/,
  },
  {
    why: 'nobody listens there',
    fault: ({ api }: Live) => api.stop(),
    said: /ECONNREFUSED.*see whether the API server of the kubeconfig is right/,
  },
  {
    why: 'a kubeconfig that needs another program',
    fault: ({ write }: Live) =>
      write(
        'kubeconfig',
        JSON.stringify({
          'current-context': 'a',
          contexts: [{ name: 'a', context: { cluster: 'a', user: 'a' } }],
          clusters: [{ name: 'a', cluster: { server: 'https://127.0.0.1:1' } }],
          users: [{ name: 'a', user: { exec: { command: 'aws' } } }],
        }),
      ),
    said: /has exec; Tulle runs no other program/,
  },
])
  t.test(`cannot read: ${why}`, (t) =>
    withLive(async (live) => {
      live.put(...objects)
      await fault(live)
      const ran = await live.tool([...asked, '--kubeconfig', live.kubeconfig])
      t.match(ran, { code: 2, stdout: '', stderr: said })
      t.equal(ran.stderr.trim().split('\n').length, 1, 'one line, and no stack')
    }),
  )

t.test('a matrix that nobody could read is not made', (t) =>
  withLive(async ({ tool, write }) => {
    const pods = Array.from({ length: 1_500 }, (_, index) =>
      pod(`y/p${index}`, { ip: `10.1.${index >> 8}.${index & 255}` }),
    )
    const items = [...objects, ...pods]
    const from = write('all.json', JSON.stringify({ apiVersion: 'v1', kind: 'List', items }))
    const words = [...asked, '--from', from]
    t.match(await tool(words), { code: 2, stdout: '', stderr: /--namespace NAME/ })
    t.match(await tool([...words, '--namespace', 'z']), { code: 2, stderr: /no namespace z/ })
    const { allowed } = JSON.parse((await tool([...words, '--namespace', 'x'])).stdout)
    t.equal(allowed.length, 1_500 * 3 + 1_500 * 2 + 3)
  }),
)
