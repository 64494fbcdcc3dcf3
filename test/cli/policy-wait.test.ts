import { existsSync } from 'node:fs'
import t from 'tap'
import { cnp, np, pod } from '../policy/objects.ts'
import { nodeObject } from '../support/api-objects.ts'
import { executable } from '../support/cni.ts'
import { runLater } from '../support/netns.ts'
import { type Live, withLive } from './live.ts'

t.setTimeout(120_000)

const closed = np('x/closed', { podSelector: {} })
const narrow = cnp('x/narrow', { endpointSelector: {}, ingress: [{}] })

/** What the agent of a node says of it; undefined: none has ever run. */
function tell({ api }: Live, index: number, revisions?: object | string, ready = 'True'): void {
  const node = nodeObject(index)
  const text = typeof revisions === 'string' ? revisions : JSON.stringify(revisions)
  const annotations = revisions === undefined ? {} : { 'tulle.dev/policy-revision': text }
  const conditions = [{ type: 'Ready', status: ready }]
  api.store.put('/nodes', {
    ...node,
    metadata: { ...node.metadata, annotations },
    status: { ...(node.status as object), conditions },
  })
}

const wait = ({ tool, kubeconfig }: Live, ...words: readonly string[]) =>
  tool(['policy', 'wait', ...words, '--kubeconfig', kubeconfig])

/** Calls it once the tool watches the nodes, and so has heard all that is there. */
function onceWatching({ api }: Live, then: () => void): void {
  let isDone = false
  api.onRequest = () => {
    if (isDone || !/nodes\?.*watch=true/.test(api.requests.at(-1) ?? '')) return
    isDone = true
    setImmediate(then)
  }
}

t.test('P49: waits for the node that is behind, and no longer', (t) =>
  withLive(async (live) => {
    const [policy] = live.put(closed)
    const revision = String(policy?.metadata.resourceVersion)
    tell(live, 1, { networkpolicies: revision })
    tell(live, 2, { networkpolicies: '7' })
    onceWatching(live, () => tell(live, 2, { networkpolicies: String(Number(revision) + 5) }))
    const ran = await wait(live, 'x/closed', '--json')
    t.equal(ran.code, 0, ran.stderr)
    t.match(JSON.parse(ran.stdout), {
      isEnforced: true,
      policies: [{ policy: 'NetworkPolicy x/closed', revision }],
      nodes: [
        { name: 'node-1', state: 'enforcing', revisions: { networkpolicies: revision } },
        { name: 'node-2', state: 'enforcing' },
      ],
    })
    const now = await wait(live)
    t.match(now, { code: 0, stderr: '', stdout: /^2 of 2 nodes enforce 1 policies, after / })
  }),
)

t.test('nodes that never do are named, each with its reason', (t) =>
  withLive(async (live) => {
    const [first, second] = live.put(closed, narrow).map(({ metadata }) => metadata.resourceVersion)
    tell(live, 1, { networkpolicies: first, ciliumnetworkpolicies: second })
    tell(live, 2, { networkpolicies: first, ciliumnetworkpolicies: '12' })
    tell(live, 3)
    tell(live, 4, { networkpolicies: '3' }, 'Unknown')
    tell(live, 5, { networkpolicies: first, ciliumnetworkpolicies: second }, 'False')
    tell(live, 6, 'no JSON')
    const ran = await wait(live, '--timeout', '0s')
    t.equal(ran.code, 1, ran.stderr)
    t.match(
      ran.stdout,
      new RegExp(`^node-2 +behind +ciliumnetworkpolicies at 12 of ${second}$`, 'm'),
    )
    t.match(ran.stdout, /^node-3 +silent +no agent of Tulle has told what it enforces$/m)
    t.match(
      ran.stdout,
      /^node-4 +not-ready +NotReady; networkpolicies at 3 of \d+, cilium.* none of/m,
    )
    t.match(ran.stdout, /^node-6 +silent/m)
    t.notMatch(ran.stdout, /node-5/, 'what a node did before it was lost, is done')
    t.match(ran.stdout, /^2 of 6 nodes enforce 2 policies, after /m)
    t.equal((await wait(live, 'x/closed', '--timeout', '0s')).code, 1)
    for (const index of [2, 3, 6])
      tell(live, index, { networkpolicies: first, ciliumnetworkpolicies: second })
    t.equal((await wait(live, '--timeout', '0s')).code, 1, 'node-4 is waited for')
    const ready = await wait(live, '--timeout', '0s', '--ready-nodes')
    t.match(ready, { code: 0, stdout: /^node-4 +not-ready/m })
  }),
)

for (const { why, there, asked, code } of [
  { why: 'the same number', there: '12345', asked: '12345', code: 0 },
  { why: 'a later one, longer', there: '100000', asked: '99999', code: 0 },
  { why: 'beyond 2^53', there: '9007199254740993', asked: '9007199254740992', code: 0 },
  {
    why: 'an earlier one beyond 2^53',
    there: '9007199254740992',
    asked: '9007199254740993',
    code: 1,
  },
  { why: 'a text that is equal', there: 'a-1', asked: 'a-1', code: 0 },
  { why: 'a text that is not', there: 'a-2', asked: 'a-1', code: 1 },
  { why: 'a number with zeros before it is a text', there: '0200', asked: '100', code: 1 },
  { why: 'the other kind', there: '200', asked: 'ciliumnetworkpolicies=100', code: 1 },
])
  t.test(`a revision: ${why}`, (t) =>
    withLive(async (live) => {
      tell(live, 1, { networkpolicies: there })
      const ran = await wait(live, '--revision', asked, '--timeout', '0')
      t.equal(ran.code, code, ran.stdout + ran.stderr)
    }),
  )

t.test('nothing to wait for', (t) =>
  withLive(async (live) => {
    tell(live, 1)
    t.match(await wait(live), { code: 0, stdout: '', stderr: /there is no policy to wait for/ })
    t.match(JSON.parse((await wait(live, '--json')).stdout), { isEnforced: true, nodes: [] })
  }),
)

t.test('what can not be waited for', (t) =>
  withLive(async (live) => {
    live.put(closed, pod('x/a', { ip: '10.0.0.1' }))
    const none = await wait(live, '--timeout', '1s')
    t.match(none, { code: 2, stdout: '', stderr: /The cluster has no node/ })
    tell(live, 1)
    t.match(await wait(live, 'x/none'), { code: 2, stderr: /There is no NetworkPolicy .* x\/none/ })
    for (const [words, said] of [
      [['--timeout', 'soon'], /--timeout is soon; it may be as in 30s/],
      [['--timeout', '25h'], /24h at most/],
      [['--revision', 'a=1'], /--revision is a=1; .* ciliumnetworkpolicies=12345/],
    ] as const)
      t.match(await wait(live, ...words), { code: 2, stdout: '', stderr: said })
    live.api.faults.denied.add('list nodes')
    t.match(await wait(live), { code: 2, stdout: '', stderr: /nodes at .*: 403 .*\["nodes"\]/ })
    await live.api.stop()
    t.match(await wait(live), { code: 2, stdout: '', stderr: /ECONNREFUSED/ })
  }),
)

const script = '/usr/bin/script'
t.test('on a terminal one line tells who is waited for', { skip: !existsSync(script) }, (t) =>
  withLive(async (live) => {
    live.put(closed)
    for (let index = 1; index <= 7; index++) tell(live, index)
    const words = [executable, 'policy', 'wait', '--timeout', '1s', '--kubeconfig', live.kubeconfig]
    const env = { PATH: process.env.PATH ?? '' }
    const { stdout } = await runLater([script, '-qec', words.join(' '), '/dev/null'], { env })
    t.match(
      stdout,
      '\r\x1b[K0 of 7 nodes; waiting for node-1, node-2, node-3, node-4, node-5 and 2',
    )
    t.match(stdout, '\r\x1b[K\x1b[1mNODE', 'the line is gone before the answer')
  }),
)
