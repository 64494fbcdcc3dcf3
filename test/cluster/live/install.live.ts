// What conf/ installs, as the cluster's own programs see it: the API server takes every object by
// the letter, and gives the agent the rights that it asks for; kubelet and containerd run it with
// one capability behind the runtime's seccomp profile.
import { join } from 'node:path'
import t from 'tap'
import { need } from '../../../src/kube/access.ts'
import { confPath } from '../../conf/pod-container.ts'
import { rightsFor } from '../../conf/rights.ts'
import { run } from '../../support/netns.ts'
import { liveCluster } from './live-cluster.ts'

t.setTimeout(300_000)

const cluster = liveCluster()
const { nodes } = cluster
const { bin } = cluster.facts.tools
const namespace = 'tulle-system'

t.test('the API server takes every object of every way to install, strictly', async (t) => {
  const helm = [join(bin, 'helm'), 'template', 'tulle', confPath('helm/tulle'), '-n', namespace]
  const kustomize = [join(bin, 'kubectl'), 'kustomize']
  const ways = {
    helm: [...helm, '--kube-version', '1.36.3', '--set', 'apiServer.host=192.0.2.10'],
    base: [...kustomize, confPath('kustomize/base')],
    ...Object.fromEntries(
      ['flannel-compat', 'migrate-from-flannel', 'no-policy'].map((name) => [
        name,
        [...kustomize, confPath(`kustomize/overlays/${name}`)],
      ]),
    ),
  }
  for (const [way, argv] of Object.entries(ways)) {
    const { stdout, stderr } = run(argv)
    const words = ['apply', '--dry-run=server', '--validate=strict', '-f', '-']
    const taken = await cluster.kubectl(words, { input: stdout })
    t.equal(taken.code, 0, `${way}: ${stderr}${taken.stderr}`)
    t.match(taken.stdout, /daemonset.apps\/tulle (configured|unchanged|created) \(server dry run\)/)
  }
})

t.test('the service account may what the agent asks for', async (t) => {
  const may = async (right: string, within: object): Promise<boolean> => {
    const [verb, group, name = ''] = right.split(' ')
    const [resource, subresource] = name.split('/')
    const resourceAttributes = { verb, group, resource, subresource, ...within }
    const review = {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: { user: `system:serviceaccount:${namespace}:tulle`, resourceAttributes },
    }
    const words = ['create', '-f', '-', '-o', 'jsonpath={.status.allowed}']
    return (await cluster.must(words, { input: JSON.stringify(review) })) === 'true'
  }
  const { everywhere, inDefault } = rightsFor(Object.values(need))
  for (const right of everywhere) t.ok(await may(right, {}), right)
  for (const right of inDefault) t.ok(await may(right, { namespace: 'default' }), right)
  for (const right of [
    'get  secrets',
    'list  secrets',
    'create  pods',
    'delete  pods',
    'patch  nodes',
    'patch  pods',
    'patch networking.k8s.io networkpolicies',
    'patch events.k8s.io events',
  ])
    t.notOk(await may(right, {}), right)
})

for (const node of nodes)
  t.test(`the agent of ${node.name} has one capability, and all is well there`, async (t) => {
    const selector = ['-l', 'app.kubernetes.io/name=tulle']
    const where = ['--field-selector', `spec.nodeName=${node.name}`, '-o', 'name']
    const pod = (await cluster.must(['-n', namespace, 'get', 'pods', ...selector, ...where])).trim()
    const look = 'for p in $(pidof tulle); do cat /proc/$p/status; done'
    const { stdout } = await node.computer.exec(['sh', '-c', look])
    t.match(stdout, /^CapEff:\s*0000000000001000$/m, 'NET_ADMIN')
    t.match(stdout, /^CapBnd:\s*0000000000001000$/m, 'and no way to another')
    t.match(stdout, /^NoNewPrivs:\s*1$/m)
    t.match(stdout, /^Seccomp:\s*2$/m, "the runtime's profile")
    const inside = ['-n', namespace, 'exec', pod, '--', 'tulle']
    const doctor = await cluster.kubectl([...inside, 'doctor'])
    t.equal(doctor.code, 0, doctor.stdout)
    const outside = await node.computer.exec(['/opt/cni/bin/tulle', 'doctor'])
    t.equal(outside.code, 0, outside.stdout)
    t.match(await cluster.must([...inside, 'status']), node.name)
  })
