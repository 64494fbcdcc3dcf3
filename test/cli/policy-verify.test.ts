import { closeSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadNative, type Native } from '../../src/kernel/native.ts'
import { loadInto } from '../kernel/loaded-policies.ts'
import { clusterOf, namespace, np, pod } from '../policy/objects.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { tool, withFolder } from './tool.ts'

t.setTimeout(240_000)

const onNode = { spec: { nodeName: 'n1' }, status: { hostIP: '192.0.2.1' } }
const objects = [
  namespace('x'),
  {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'n1' },
    status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] },
  },
  pod('x/a', { ip: '10.244.0.2', labels: { app: 'a' }, ...podOn() }),
  pod('x/b', { ip: '10.244.0.3', labels: { app: 'b' }, ...podOn() }),
  np('x/b', {
    podSelector: { matchLabels: { app: 'b' } },
    ingress: [{ from: [{ podSelector: { matchLabels: { app: 'a' } } }], ports: [{ port: 80 }] }],
  }),
]

function podOn() {
  const { spec, status } = onNode
  return { spec: { ...spec, containers: [{ name: 'c', ports: [{ containerPort: 80 }] }] }, status }
}

type Stage = { readonly node: Netns; readonly folder: string; readonly nft: (text: string) => void }

/** A node with two routed pods, and their policies in its kernel. */
async function withNode(use: (stage: Stage) => void | Promise<void>): Promise<void> {
  const [node, one, two] = ['vnode', 'vpod', 'vpod'].map((label) => makeNetns(label))
  if (!node || !one || !two) throw new Error('Cannot make namespaces')
  try {
    node.ip('addr', 'add', '192.0.2.1/32', 'dev', 'lo')
    node.exec(['sysctl', '-qw', 'net.ipv4.ip_forward=1'])
    for (const [at, netns] of [one, two].entries()) wire(node, netns, at + 2)
    const fd = openSync(node.path, 'r')
    const native = loadNative()
    const inside: Native = {
      ...native,
      socketIn: (netns, protocol) => native.socketIn(netns === -1 ? fd : netns, protocol),
    }
    loadInto(inside, clusterOf(...objects))
    closeSync(fd)
    await withFolder((folder) => {
      writeFileSync(
        join(folder, 'all.json'),
        JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }),
      )
      return use({
        node,
        folder,
        nft: (text) => {
          const done = node.exec(['nft', '-f', '-'], { input: text })
          if (done.code !== 0) throw new Error(`Cannot nft: ${done.stderr}`)
        },
      })
    })
  } finally {
    for (const netns of [node, one, two]) netns.close()
  }
}

function wire(node: Netns, netns: Netns, last: number): void {
  const host = `h${last}`
  node.ip('link', 'add', host, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns.name)
  node.ip('addr', 'add', '169.254.1.1/32', 'dev', host)
  node.ip('link', 'set', host, 'up')
  netns.ip('addr', 'add', `10.244.0.${last}/32`, 'dev', 'eth0')
  netns.ip('link', 'set', 'eth0', 'up')
  netns.ip('route', 'add', '169.254.1.1', 'dev', 'eth0')
  netns.ip('route', 'add', 'default', 'via', '169.254.1.1')
  node.ip('route', 'add', `10.244.0.${last}`, 'dev', host)
}

const verify = ({ node, folder }: Stage, ...words: readonly string[]) =>
  tool(['policy', 'verify', '--from', folder, ...words], node)

type Told = Readonly<{
  node: string
  pods: number
  flows: number
  differences: readonly Readonly<{
    pods: readonly { name: string }[]
    peers: readonly { name: string }[]
    [key: string]: unknown
  }>[]
  faults: readonly Readonly<{ kind: string; text: string }>[]
  probes: readonly Readonly<{
    from: string
    to: string
    port: number
    found: string
    isExpected?: boolean
  }>[]
}>
const json = (stage: Stage, ...words: readonly string[]) => {
  const ran = verify(stage, '--json', ...words)
  if (ran.stdout === '') throw new Error(`Cannot verify: ${ran.stderr}`)
  return { ...ran, told: JSON.parse(ran.stdout) as Told }
}
const names = (members: readonly { name: string }[]) => members.map(({ name }) => name).join()

t.test('verify: a kernel that does what the policies say, and packets that show it', (t) =>
  withNode((stage) => {
    const plain = verify(stage)
    t.same([plain.code, plain.stderr], [0, ''], plain.stdout)
    t.match(plain.stdout, /^ok: 0 differences in \d+ kinds of flows of 2 pods on node n1\n$/)
    const { told, code, stderr } = json(stage, '--probe')
    t.same(
      [code, told.node, told.pods, told.differences, told.faults],
      [0, 'n1', 2, [], []],
      stderr,
    )
    const found = told.probes.map(({ from, to, port, found }) => `${from}>${to} ${port} ${found}`)
    t.same(found.sort(), ['x/a>x/b 80 refused', 'x/b>x/a 80 refused'])
    t.ok(told.probes.every(({ isExpected }) => isExpected === true))
  }),
)

t.test('verify: one element removed: the pod and the port are named, and packets confirm it', (t) =>
  withNode((stage) => {
    const listed = stage.node.exec(['nft', 'list', 'sets']).stdout
    const set = /set (in-[0-9a-f]+\.identities\.exact)/.exec(listed)?.[1] ?? ''
    const element = new RegExp(`${set.replaceAll('.', '\\.')} \\{[^}]*elements = \\{ ([^}]*?) \\}`)
    const gone = element.exec(listed)?.[1] ?? ''
    stage.nft(`delete element inet tulle-policy ${set} { ${gone} }`)
    const plain = verify(stage)
    t.equal(plain.code, 1)
    t.match(plain.stdout, /^POD +DIRECTION +PEER +PORT +KERNEL +POLICY +RULE\n/)
    t.match(
      plain.stdout,
      /^x\/b +ingress +x\/a +TCP\/80 +drops +allows +in-[0-9a-f]+: not allowed by x\/b$/m,
    )
    t.notMatch(plain.stdout, '\x1b', 'a pipe gets no colours')
    const { told, code } = json(stage, '--probe')
    t.equal(code, 1)
    const [one] = told.differences
    t.same([names(one?.pods ?? []), names(one?.peers ?? [])], ['x/b', 'x/a'])
    t.match(one, { direction: 'ingress', protocol: 'TCP', firstPort: 80, lastPort: 80 })
    t.equal(told.differences.length, 1)
    t.match(told.probes[0], { from: 'x/a', to: 'x/b', port: 80, found: 'silent', isExpected: true })
  }),
)

for (const { why, rules, want } of [
  {
    why: 'a rule of somebody else that opens a pod',
    rules: 'insert rule inet tulle-policy ingress ip daddr 10.244.0.3 tcp dport 81 accept',
    want: [
      'foreign-rule',
      /chain ingress has rule \d+ ""/,
      /^x\/b +ingress .* TCP\/81 +drops replies +denies/m,
    ],
  },
  {
    why: 'a rule that cannot be followed',
    rules: 'insert rule inet tulle-policy ingress meta cpu 0 drop',
    want: ['unknown-rule', /meta of key 20 \(NFT_META_\*\), in chain ingress/, /^foreign-rule/m],
  },
  {
    why: 'a profile that no pod has any more',
    rules: 'add chain inet tulle-policy in-0123456789ab',
    want: ['stale-profile', /in-0123456789ab/, /^different: 0 differences/m],
  },
  {
    why: 'a rule of the skeleton that is gone',
    rules: 'flush chain inet tulle-policy postrouting',
    want: ['missing-rule', /postrouting lacks the rule/, /^x\/b +ingress .* passes +denies/m],
  },
  {
    why: 'no table',
    rules: 'delete table inet tulle-policy',
    want: ['no-table', /inet tulle-policy is not there/, /^x\/b +ingress .* passes +denies/m],
  },
] as const)
  t.test(`verify: ${why}`, (t) =>
    withNode((stage) => {
      stage.nft(rules)
      const plain = verify(stage)
      t.equal(plain.code, 1)
      t.match(plain.stdout, want[2])
      const { told } = json(stage)
      const found = told.faults.find(({ kind }) => kind === want[0])
      t.match(found?.text, want[1], JSON.stringify(told.faults))
    }),
  )
