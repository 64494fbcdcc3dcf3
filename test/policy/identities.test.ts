import { test } from 'tap'
import { parseAddress } from '../../src/base/address.ts'
import type { Pod } from '../../src/cluster/pod.ts'
import { transportNumbers } from '../../src/cluster/policy-port.ts'
import { compile, emptyMemo, type PolicyState } from '../../src/policy/compile.ts'
import { judge, partyOf } from '../../src/policy/judge.ts'
import {
  firstPodIdentity,
  nodeIdentity,
  ownNodeIdentity,
  type Program,
} from '../../src/policy/program.ts'
import { clusterOf, cnp, namespace, np, type PodParts, pod } from './objects.ts'
import { programOf, stateOf } from './states.ts'

// Who has which address, and what follows from it on one node.

const addressOf = (text: string) => {
  const address = parseAddress(text)
  if (!address) throw new Error(`Cannot read ${text}`)
  return address
}

const podOf = (key: string, parts: PodParts): Pod => {
  const [found] = clusterOf(pod(key, parts)).pods
  if (!found) throw new Error(`Cannot make ${key}`)
  return found
}

const judged = (program: Program, from: string, to: string, port: number) =>
  judge(partyOf(program, addressOf(from)), partyOf(program, addressOf(to)), {
    protocol: transportNumbers.TCP,
    port,
  })

const passes = (program: Program, from: string, to: string, port = 80): boolean =>
  judged(program, from, to, port).isAllowed

/** Pods of x may be asked by those labelled app=a alone. */
const onlyFromA = np('x/only-a', {
  ingress: [{ from: [{ podSelector: { matchLabels: { app: 'a' } } }] }],
})
const onNode = (nodeName: string) => ({ spec: { nodeName } })

/** A state whose maps a test changes. */
function changing(...objects: readonly unknown[]) {
  const state = stateOf(clusterOf(...objects), 'n1')
  const pods = new Map(state.pods)
  const local = new Map(state.local)
  const memo = emptyMemo()
  const now = (): Program => compile({ ...state, pods, local } satisfies PolicyState, memo)
  return { pods, local, now }
}

const target = pod('x/target', { ip: '10.0.0.9', ...onNode('n1') })

test('P44 of two pods with one address the last one counts, and the other when it goes', (t) => {
  const { pods, now } = changing(onlyFromA, target)
  const old = podOf('x/old', { ip: '10.0.0.1', labels: { app: 'a' } })
  const young = podOf('x/young', { ip: '10.0.0.1', labels: { app: 'b' } })
  pods.set('x/old', old)
  t.ok(passes(now(), '10.0.0.1', '10.0.0.9'))
  pods.set('x/young', young)
  t.notOk(passes(now(), '10.0.0.1', '10.0.0.9'), 'the young one has it now')
  pods.set('x/old', { ...old })
  t.notOk(passes(now(), '10.0.0.1', '10.0.0.9'), 'news of the old one take nothing back')
  pods.delete('x/old')
  t.notOk(passes(now(), '10.0.0.1', '10.0.0.9'), 'the old one took nothing along')
  pods.set('x/old', old)
  t.ok(passes(now(), '10.0.0.1', '10.0.0.9'), 'told again it is the last')
  pods.delete('x/old')
  t.notOk(passes(now(), '10.0.0.1', '10.0.0.9'), 'and the other one has it back')
  pods.delete('x/young')
  t.notOk(now().identities.has('10.0.0.1'))
  t.end()
})

test('P44 what this node has on record comes before what the API tells', (t) => {
  const { pods, local, now } = changing(onlyFromA, target)
  const mine = podOf('x/mine', { ip: '10.0.0.1', labels: { app: 'a' } })
  local.set('10.0.0.1', { address: addressOf('10.0.0.1'), pod: mine })
  pods.set('x/other', podOf('x/other', { ip: '10.0.0.1', labels: { app: 'b' } }))
  t.ok(passes(now(), '10.0.0.1', '10.0.0.9'), 'the API has not told its address yet')
  local.set('10.0.0.1', { address: addressOf('10.0.0.1'), pod: undefined })
  t.notOk(now().identities.has('10.0.0.1'), 'no pod of Kubernetes')
  t.same(now().subjects.get('10.0.0.1'), {}, 'and nothing isolates it')
  local.delete('10.0.0.1')
  t.notOk(passes(now(), '10.0.0.1', '10.0.0.9'))
  t.ok(now().identities.has('10.0.0.1'))
  t.notOk(now().subjects.has('10.0.0.1'))
  t.end()
})

test('P43 P44 a pod that has ended is nobody elsewhere, and policed where it is on record', (t) => {
  const done = { status: { phase: 'Succeeded' } }
  const labels = { app: 'a' }
  const far = pod('x/far', { ip: '10.0.0.1', labels, ...onNode('n2'), ...done })
  const { pods, local, now } = changing(onlyFromA, target, far)
  t.notOk(passes(now(), '10.0.0.1', '10.0.0.9'))
  const near = podOf('x/near', { ip: '10.0.0.2', labels: { app: 'a' }, ...done })
  pods.set('x/near', near)
  local.set('10.0.0.2', { address: addressOf('10.0.0.2'), pod: near })
  t.ok(passes(now(), '10.0.0.2', '10.0.0.9'))
  t.notOk(passes(now(), '192.0.2.1', '10.0.0.2'), 'its policies hold')
  pods.delete('x/near')
  t.notOk(passes(now(), '192.0.2.1', '10.0.0.2'), 'also when the API has forgotten it')
  t.end()
})

test('P33 P45 nodes are known by every address that anything tells of them', (t) => {
  const node = (name: string, ip: string) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name },
    status: { addresses: [{ type: 'InternalIP', address: ip }] },
  })
  const cluster = clusterOf(
    node('n1', '192.168.0.1'),
    node('n2', '192.168.0.2'),
    pod('x/a', {
      ...onNode('n2'),
      status: { hostIPs: [{ ip: '192.168.0.2' }, { ip: 'fd00::2' }] },
    }),
    pod('x/b', { ip: '192.168.0.3', spec: { nodeName: 'n3', hostNetwork: true } }),
    pod('x/c', { ip: '192.168.1.1', spec: { nodeName: 'n1', hostNetwork: true } }),
    pod('x/d', { ip: ['10.0.0.1', 'fd00::7'], ...onNode('n1') }),
  )
  const { identities } = programOf(cluster, 'n1')
  t.same(
    new Map([...identities].map(([text, one]) => [text, Math.min(one, firstPodIdentity)])),
    new Map([
      ['192.168.0.1', ownNodeIdentity],
      ['192.168.0.2', nodeIdentity],
      ['fd00::2', nodeIdentity],
      ['192.168.0.3', nodeIdentity],
      ['192.168.1.1', ownNodeIdentity],
      ['10.0.0.1', firstPodIdentity],
      ['fd00::7', firstPodIdentity],
    ]),
  )
  t.end()
})

test('P30 P31 the own node reaches its pods; what they ask of it is judged', (t) => {
  const cluster = clusterOf(
    target,
    pod('x/c', { ip: '192.168.0.1', spec: { nodeName: 'n1', hostNetwork: true } }),
    cnp('x/p', {
      endpointSelector: {},
      ingressDeny: [{ fromEntities: ['all'] }],
      egress: [
        { toEntities: ['host'], toPorts: [{ ports: [{ port: '10250', protocol: 'TCP' }] }] },
      ],
    }),
  )
  const program = programOf(cluster, 'n1')
  t.ok(passes(program, '192.168.0.1', '10.0.0.9'))
  t.ok(passes(program, '10.0.0.9', '192.168.0.1', 10_250))
  t.notOk(passes(program, '10.0.0.9', '192.168.0.1', 22))
  const local = new Set(['172.17.0.1'])
  const bridge = partyOf(program, addressOf('172.17.0.1'), local)
  const pods = partyOf(program, addressOf('10.0.0.9'), local)
  const asked = { protocol: transportNumbers.TCP, port: 10_250 }
  t.ok(judge(bridge, pods, asked).isAllowed, 'an address that only the kernel knows for local')
  t.ok(judge(pods, bridge, asked).isAllowed)
  t.end()
})

test('an egress deny beats what is allowed to the own node', (t) => {
  const cluster = clusterOf(
    target,
    pod('x/c', { ip: '192.168.0.1', spec: { nodeName: 'n1', hostNetwork: true } }),
    cnp('x/p', {
      endpointSelector: {},
      egress: [{ toEntities: ['host'] }],
      egressDeny: [{ toEntities: ['all'], toPorts: [{ ports: [{ port: '22' }] }] }],
    }),
  )
  const program = programOf(cluster, 'n1')
  t.same(judged(program, '10.0.0.9', '192.168.0.1', 22).egress.why, 'denied')
  t.ok(passes(program, '10.0.0.9', '192.168.0.1', 80))
  t.end()
})

test('P19 P20 a port’s name is each destination’s own number, and no block has names', (t) => {
  const cluster = clusterOf(
    pod('x/asks', { ip: '10.0.0.1', labels: { app: 'asks' }, ...onNode('n1') }),
    pod('x/one', { ip: '10.0.0.2', labels: { app: 'a' }, ports: ['http=80'] }),
    pod('x/two', { ip: '10.0.0.3', labels: { app: 'a' }, ports: ['http=8080'] }),
    pod('x/block', { ip: '10.1.0.1', ports: ['http=80'] }),
    np('x/p', {
      podSelector: { matchLabels: { app: 'asks' } },
      policyTypes: ['Egress'],
      egress: [
        {
          to: [
            { podSelector: { matchLabels: { app: 'a' } } },
            { ipBlock: { cidr: '10.1.0.0/16' } },
          ],
          ports: [{ port: 'http' }],
        },
      ],
    }),
  )
  const program = programOf(cluster, 'n1')
  const asks = (to: string) => [80, 8080].filter((port) => passes(program, '10.0.0.1', to, port))
  t.same(['10.0.0.2', '10.0.0.3', '10.1.0.1'].map(asks), [[80], [8080], []])
  t.end()
})

test('audit: what would be refused passes, and is told; by policy or by namespace', (t) => {
  const annotations = { 'tulle.dev/policy-mode': 'audit' }
  const inAudit = <Made extends { metadata: object }>(object: Made) => ({
    ...object,
    metadata: { ...object.metadata, annotations },
  })
  const from = pod('x/b', { ip: '10.0.0.1', labels: { app: 'b' } })
  const told = (...objects: readonly object[]) => {
    const { ingress } = judged(
      programOf(clusterOf(target, from, ...objects), 'n1'),
      ...(['10.0.0.1', '10.0.0.9', 80] as const),
    )
    return `${ingress.why}${ingress.isAudited ? ', audited' : ''}`
  }
  const enforced = { 'tulle.dev/policy-mode': 'enforce' }
  const saysEnforce = { ...onlyFromA, metadata: { ...onlyFromA.metadata, annotations: enforced } }
  const open = np('x/open', { ingress: [{}] })
  t.equal(told(onlyFromA), 'isolated')
  t.equal(told(inAudit(onlyFromA)), 'not-isolated, audited')
  t.equal(told(inAudit(namespace('x')), onlyFromA), 'not-isolated, audited')
  t.equal(told(inAudit(namespace('x')), saysEnforce), 'isolated', 'its own word counts more')
  t.equal(told(inAudit(open), onlyFromA), 'isolated', 'what is tried out opens nothing')
  t.equal(told(open, inAudit(onlyFromA)), 'allowed', 'nothing that would be refused')
  t.end()
})

test('profiles are shared by pods of the same policies, and names outlive a policy’s edit', (t) => {
  const pods = ['10.0.0.1', '10.0.0.2'].map((ip, at) => pod(`x/${at}`, { ip, ...onNode('n1') }))
  const named = pod('x/named', { ip: '10.0.0.3', ports: ['http=80'], ...onNode('n1') })
  const byName = (port: string | number) => np('x/p', { ingress: [{ ports: [{ port }] }] })
  const before = programOf(clusterOf(...pods, named, byName(80)), 'n1')
  t.equal(before.profiles.size, 1)
  t.match([...before.profiles.keys()][0], /^in-[0-9a-f]{12}$/)
  const after = programOf(clusterOf(...pods, named, byName(81)), 'n1')
  t.same([...after.profiles.keys()], [...before.profiles.keys()])
  const own = programOf(clusterOf(...pods, named, byName('http')), 'n1')
  t.equal(own.profiles.size, 2, 'a name is one number to one pod, and none to the others')
  t.same(before.subjects.get('10.0.0.1'), before.subjects.get('10.0.0.2'))
  t.end()
})
