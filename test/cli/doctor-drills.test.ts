import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import type { Api } from '../agent/api.ts'
import { type Cluster, type Member, three, withKubernetes } from '../agent/cluster.ts'
import { until } from '../agent/running-agent.ts'
import { executable } from '../support/cni.ts'
import { runLater } from '../support/netns.ts'

t.setTimeout(240_000)

// The failures that an installation meets first, each brought about on a node of a cluster, and
// the words of `tulle doctor` that name it there.

type Drill = {
  readonly why: string
  readonly act: (cluster: Cluster, api: Api) => unknown
  readonly check: string
  readonly found: RegExp
  readonly remedy: RegExp
}

const conflistOf = ({ agent }: Member): string => join(agent.folder, 'net.d', '10-tulle.conflist')

/** What comes to a node and what it sends, as a firewall between the nodes would drop it. */
function drop({ host }: Member, rule: string): void {
  const chains = ['input', 'output'].map(
    (hook) => `chain ${hook} {\ntype filter hook ${hook} priority 0\n${rule}\n}\n`,
  )
  const input = `table inet drill {\n${chains.join('')}}\n`
  const done = host.netns.exec(['nft', '-f', '-'], { input })
  if (done.code !== 0) throw new Error(done.stderr)
}

const drills: readonly Drill[] = [
  {
    why: 'the node has no podCIDR',
    act: (_, api) =>
      api.ask('PATCH', '/api/v1/nodes/a', { spec: { podCIDR: null, podCIDRs: null } }),
    check: 'no-pod-cidr',
    found: /Node a has no podCIDR, so its pods can't have addresses/,
    remedy: /kube-controller-manager give podCIDRs \(--allocate-node-cidrs --cluster-cidr\)/,
  },
  {
    why: 'RBAC lacks a rule',
    act: (_, api) => api.deny('watch networkpolicies'),
    check: 'rights-missing',
    found: /Not allowed: watch networkpolicies \(policies are enforced\)/,
    remedy: /"tulle": \{ apiGroups: \["networking.k8s.io"\], resources: \["networkpolicies"\]/,
  },
  {
    why: 'a second network is before ours',
    act: (cluster) => {
      const path = join(dirname(conflistOf(cluster.get('a'))), '05-other.conflist')
      const list = { cniVersion: '1.0.0', name: 'other', plugins: [{ type: 'bridge' }] }
      writeFileSync(path, JSON.stringify(list))
    },
    check: 'two-networks',
    found: /The runtime reads 05-other.conflist before .*10-tulle.conflist/,
    remedy: /remove 05-other.conflist, or name Tulle's list so that it comes first/,
  },
  {
    why: 'the tunnel’s port is blocked on the way',
    act: (cluster) => drop(cluster.get('c'), 'udp dport 8472 drop'),
    check: 'tunnel-blocked',
    found: /c/,
    remedy: /UDP 8472 pass/,
  },
  {
    why: 'the underlay passes smaller packets than its links say',
    act: (cluster) => drop(cluster.get('c'), 'udp dport 8472 meta length > 1300 drop'),
    check: 'mtu-black-hole',
    found: /c/,
    remedy: /mtu/i,
  },
]

for (const { why, act, check, found, remedy } of drills)
  t.test(`doctor names it: ${why}`, (t) =>
    withKubernetes(three, async (cluster, api) => {
      const node = cluster.get('a')
      mkdirSync(dirname(conflistOf(node)), { recursive: true })
      await act(cluster, api)
      await node.agent.end('SIGTERM')
      node.agent.start(['--conflist', conflistOf(node)])
      const told = await until(check, async () => {
        const { findings } = await node.agent.status()
        return findings.find((finding) => finding.check === check)
      })
      t.match(told.remedy, remedy)
      const { code, stdout } = await doctor(node)
      t.equal(code, 1, 'something is wrong')
      t.match(stdout, new RegExp(`^error +${check} `, 'm'))
      t.match(stdout, found)
      t.match(stdout, `to do: ${told.remedy}`)
    }),
  )

const doctor = ({ host, agent }: Member) =>
  runLater([
    ...['nsenter', `--net=${host.netns.path}`, executable, 'doctor'],
    ...['--socket', join(agent.folder, 'run', 'agent.sock')],
    ...['--data-dir', join(agent.folder, 'data'), '--bin-dir', join(agent.folder, 'bin')],
    ...['--conf-dir', dirname(conflistOf({ host, agent }))],
  ])
