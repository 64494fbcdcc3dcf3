import { test } from 'tap'
import { LocalPods, type PolicedRecord } from '../../src/agent/local-pods.ts'
import { PolicyBook } from '../../src/agent/policy-book.ts'
import { parseAddress } from '../../src/base/address.ts'
import { namespaceOf } from '../../src/cluster/namespace.ts'
import { type Pod, podKey } from '../../src/cluster/pod.ts'
import type { ReadPolicy } from '../../src/kube/policy-feeds.ts'

const addressOf = (text: string) => {
  const address = parseAddress(text)
  if (!address) throw new Error(`Cannot use ${text}`)
  return address
}

const pod = (name: string, change: Partial<Pod> = {}): Pod => ({
  namespace: 'shop',
  name,
  uid: `uid-${name}`,
  labels: new Map([['app', name]]),
  addresses: [addressOf('10.1.0.7')],
  ports: [],
  isHostNetwork: false,
  isDone: false,
  hostAddresses: [],
  serviceAccount: 'default',
  ...change,
})
const all = (...pods: readonly Pod[]) =>
  ({ kind: 'all', items: new Map(pods.map((one) => [podKey(one), one])) }) as const
const odd: ReadPolicy = {
  policies: [],
  problems: [{ kind: 'refused', path: 'spec.l7', found: 'an object', accepted: 'nothing' }],
  uid: 'u',
}

function bookAt(now: () => number = () => 0) {
  const told = { changes: 0 }
  const book = new PolicyBook(now, () => {
    told.changes++
  })
  return { book, told }
}

test('nothing is whole before all kinds were told as a whole', (t) => {
  const { book } = bookAt()
  book.hearPods(all())
  book.hearPolicies('NetworkPolicy', { kind: 'all', items: new Map() })
  book.hearNamespaces({ kind: 'all', items: new Map([['shop', namespaceOf('shop')]]) })
  t.notOk(book.isWhole)
  t.same(book.missing, ['CiliumNetworkPolicy'])
  book.hearPolicies('CiliumNetworkPolicy', { kind: 'all', items: new Map() })
  t.ok(book.isWhole)
  t.end()
})

test('a list that tells the same again keeps the objects, and is no change', (t) => {
  const { book } = bookAt()
  book.hearPods(all(pod('api'), pod('db')))
  book.taken()
  const before = book.pods.get('shop/api')
  book.hearPods(all(pod('api'), pod('db')))
  t.equal(book.pods.get('shop/api'), before)
  t.equal(book.changedAt, undefined)
  book.hearPods(all(pod('db')))
  t.equal(book.changedAt, 0)
  t.same([...book.pods.keys()], ['shop/db'])
  t.end()
})

test('the first untaken change counts', (t) => {
  let now = 5
  const { book } = bookAt(() => now)
  book.hearPods(all(pod('api')))
  now = 9
  book.hearPods({ kind: 'changed', key: 'shop/api', item: pod('api', { isDone: true }) })
  t.equal(book.changedAt, 5)
  t.end()
})

test('P44: of two pods with one address the one told last stands last', (t) => {
  const { book } = bookAt()
  book.hearPods(all(pod('old'), pod('new')))
  book.hearPods({ kind: 'changed', key: 'shop/old', item: pod('old', { isDone: true }) })
  t.same([...book.pods.keys()], ['shop/new', 'shop/old'])
  t.end()
})

test('what is wrong with a policy is known as long as it stands, each kind by itself', (t) => {
  const { book } = bookAt()
  const one = { kind: 'all', items: new Map([['shop/one', odd]]) } as const
  book.hearPolicies('CiliumNetworkPolicy', one)
  book.hearPolicies('NetworkPolicy', one)
  t.same([...book.odd.keys()], ['CiliumNetworkPolicy shop/one', 'NetworkPolicy shop/one'])
  book.hearPolicies('NetworkPolicy', { kind: 'all', items: new Map() })
  t.match([...book.odd.values()], [{ kind: 'CiliumNetworkPolicy', name: 'one', uid: 'u' }])
  t.equal(book.odd.size, 1)
  const good = { ...odd, problems: [] }
  book.hearPolicies('CiliumNetworkPolicy', { kind: 'changed', key: 'shop/one', item: good })
  t.equal(book.odd.size, 0)
  t.same([...book.policies.keys()], ['CiliumNetworkPolicy shop/one'])
  book.hearPolicies('CiliumNetworkPolicy', { kind: 'gone', key: 'shop/one' })
  t.equal(book.policies.size, 0)
  t.end()
})

test('a revision is told on, though nothing changed', (t) => {
  const { book, told } = bookAt()
  book.reached('NetworkPolicy', '7')
  t.same(book.revisions, { NetworkPolicy: '7' })
  t.equal(told.changes, 1)
  t.equal(book.changedAt, undefined)
  t.end()
})

const record = (name: string, change: Partial<PolicedRecord> = {}): PolicedRecord => ({
  name: `tulle/${name}/eth0`,
  addresses: [addressOf('10.1.0.7'), addressOf('fd00::7')],
  pod: { namespace: 'shop', name, uid: `uid-${name}` },
  isOlder: false,
  ...change,
})
const podsOf = (...pods: readonly Pod[]) => new Map(pods.map((one) => [podKey(one), one]))

test("a record's pod is bound at both addresses, and its last word outlives it", (t) => {
  const local = new LocalPods()
  local.put([record('api')])
  local.bind(podsOf())
  t.equal(local.pods.size, 0, 'left out: it stays closed')
  t.same(local.waiting, ['shop/api'])
  const told = pod('api')
  local.bind(podsOf(told))
  t.same([...local.pods.keys()], ['10.1.0.7', 'fd00::7'])
  const bound = local.pods.get('10.1.0.7')
  t.equal(bound?.pod, told)
  local.bind(podsOf())
  t.equal(local.pods.get('10.1.0.7'), bound, 'Terminating: the same object, still policed')
  const relabelled = pod('api', { labels: new Map([['app', 'db']]) })
  local.bind(podsOf(relabelled))
  t.equal(local.pods.get('10.1.0.7')?.pod, relabelled)
  local.put([])
  local.bind(podsOf(relabelled))
  t.equal(local.pods.size, 0)
  t.end()
})

test('a pod of that name and another uid is another pod', (t) => {
  const local = new LocalPods()
  local.put([record('api')])
  const later = pod('api', { uid: 'uid-later' })
  local.bind(podsOf(later))
  t.same(local.waiting, ['shop/api'])
  local.bind(podsOf(pod('api')))
  local.bind(podsOf(later))
  t.equal(local.pods.get('10.1.0.7')?.pod?.uid, 'uid-api', 'its own last word')
  const { uid: _, ...nameless } = pod('api')
  local.put([record('other', { pod: { namespace: 'shop', name: 'api' } })])
  local.bind(podsOf(later))
  t.equal(local.pods.get('10.1.0.7')?.pod, later, 'a runtime that sends no uid')
  local.put([record('api', { name: 'tulle/third/eth0' })])
  local.bind(podsOf(nameless))
  t.equal(local.pods.get('10.1.0.7')?.pod, nameless, 'a manifest that has none')
  t.end()
})

test('a record of no Kubernetes pod is nobody, or who has that address in the manifests', (t) => {
  const local = new LocalPods()
  const { pod: _, ...bare } = record('api')
  local.put([bare])
  local.bind(podsOf(pod('api')))
  t.match(local.pods.get('10.1.0.7'), { pod: undefined })
  const told = pod('api')
  local.bind(podsOf(told), ({ family }) => (family === 4 ? told : undefined))
  t.equal(local.pods.get('10.1.0.7')?.pod, told)
  t.equal(local.pods.get('fd00::7')?.pod, undefined)
  t.end()
})

test('a pod from before policies is whoever has its address; else it is left alone', (t) => {
  const local = new LocalPods()
  const { pod: _, ...bare } = record('api', { isOlder: true })
  local.put([bare])
  local.bind(podsOf())
  t.equal(local.pods.size, 0, 'nobody closed it, and nobody knows it')
  const told = pod('api')
  local.bind(podsOf(told), ({ family }) => (family === 4 ? told : undefined))
  t.same([...local.pods], [['10.1.0.7', { address: addressOf('10.1.0.7'), pod: told }]])
  t.end()
})

test('an address that goes from one record to the next is the next one’s', (t) => {
  const local = new LocalPods()
  const [first, second] = [pod('first'), pod('second')]
  local.put([record('first')])
  local.bind(podsOf(first, second))
  local.put([record('second')])
  local.bind(podsOf(first, second))
  t.equal(local.pods.get('10.1.0.7')?.pod, second)
  t.end()
})
