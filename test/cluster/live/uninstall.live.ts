// A cluster's owner changes the configuration, takes Tulle away, and installs it by Helm: with the
// very commands of conf/README.md, against the API server, on every node. It ends as it began.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { confPath } from '../../conf/pod-container.ts'
import { until } from '../machine/until.ts'
import { liveCluster } from './live-cluster.ts'

t.setTimeout(600_000)

const cluster = liveCluster()
const { nodes } = cluster
const namespace = 'tulle-system'
const manifest = readFileSync(confPath('tulle.yaml'), 'utf8')

/** Agents on all nodes, and nodes that kubelets call ready. */
async function installed(): Promise<void> {
  await cluster.rolledOut(namespace)
  await cluster.nodesReady()
}

async function helm(...words: readonly string[]): Promise<string> {
  const argv = [join(cluster.facts.tools.bin, 'helm'), ...words, '--namespace', namespace]
  const done = await cluster.controlPlane.run(argv, { timeoutMs: 120_000 })
  if (done.code !== 0) throw new Error(`helm ${words.join(' ')}: ${done.stderr}`)
  return done.stdout
}

const podNames = async (): Promise<readonly string[]> =>
  (await cluster.must(['-n', namespace, 'get', 'pods', '-o', 'name'])).trim().split('\n').toSorted()

const annotationsOf = (node: string): Promise<string> =>
  cluster.must(['get', 'node', node, '-o', 'jsonpath={.metadata.annotations}'])

/** Who just got another agent answered no self-test meanwhile: others say so until the next one. */
async function allWell(): Promise<void> {
  for (const { name, computer } of nodes)
    await until(`${name} to be well`, async () => {
      const doctor = await computer.exec(['/opt/cni/bin/tulle', 'doctor'])
      if (doctor.code !== 0) throw new Error(doctor.stdout)
      return true
    })
}

t.test('another configuration is another pod on every node', async (t) => {
  const before = await podNames()
  await cluster.must(['apply', '-k', confPath('kustomize/overlays/flannel-compat')])
  await installed()
  const after = await podNames()
  t.equal(after.length, nodes.length)
  t.same(
    after.filter((name) => before.includes(name)),
    [],
  )
  for (const { name } of nodes)
    t.match(await annotationsOf(name), 'flannel.alpha.coreos.com/backend-data', name)
})

t.test('what is deleted and uninstalled is gone from every node', async (t) => {
  await cluster.must(['delete', '-f', '-', '--timeout=90s'], { input: manifest })
  for (const { name, computer } of nodes) {
    const done = await computer.exec(['/opt/cni/bin/tulle', 'uninstall'])
    t.equal(done.code, 0, `${name}: ${done.stderr}`)
    const look = 'ls -A /etc/cni/net.d /opt/cni/bin; ip -br link; ip route; ip -6 route'
    const { stdout } = await computer.exec(['sh', '-c', look])
    t.notMatch(stdout, /tulle/, name)
    t.notMatch(stdout, /via .* proto 116/, `${name}: routes to other nodes`)
    const tables = await computer.exec(['nft', 'list', 'tables'])
    t.notMatch(tables.stdout, /tulle-policy/, name)
  }
})

t.test('Helm installs, upgrades and uninstalls it', async (t) => {
  const chart = confPath('helm/tulle')
  const said = await helm('install', 'tulle', chart, '--create-namespace')
  t.match(said, 'Tulle is on its way to every node')
  await installed()
  await cluster.rolledOut('kube-system')
  const before = await podNames()
  await helm('upgrade', 'tulle', chart, '--set', 'agent.logLevel=debug')
  await installed()
  t.same(
    (await podNames()).filter((name) => before.includes(name)),
    [],
    'a value is a configuration',
  )
  await allWell()
  await helm('uninstall', 'tulle', '--wait')
  await cluster.must(['delete', 'namespace', namespace, '--timeout=90s'])
})

t.test('and the manifest takes over', async () => {
  await cluster.apply(manifest)
  await installed()
  await cluster.rolledOut('kube-system')
  await allWell()
})
