import fc from 'fast-check'
import { test } from 'tap'
import { decodeNode } from '../../src/cluster/decode-node.ts'
import { sameNode } from '../../src/cluster/node.ts'
import { GistBook, isOfObject, nodeGist } from '../../src/kube/gist.ts'

type Json = Readonly<Record<string, unknown>>

const eventOf = (type: string, object: Json): string => JSON.stringify({ type, object })

const node = (change: { metadata?: Json; spec?: Json; status?: Json } = {}): Json => ({
  kind: 'Node',
  apiVersion: 'v1',
  metadata: {
    name: 'a',
    uid: 'u-1',
    resourceVersion: '7',
    labels: { team: 'x' },
    annotations: { 'tulle.dev/route-mode': 'vxlan' },
    managedFields: [{ time: '2026-01-01T00:00:00Z' }],
    ...change.metadata,
  },
  spec: { podCIDR: '10.1.0.0/24', podCIDRs: ['10.1.0.0/24'], ...change.spec },
  status: {
    conditions: [{ type: 'Ready', lastHeartbeatTime: '2026-01-01T00:00:00Z' }],
    addresses: [{ type: 'InternalIP', address: '10.0.0.1' }],
    ...change.status,
  },
})

const digestOf = (object: Json): number | undefined => nodeGist(eventOf('MODIFIED', object))?.digest

test('a heartbeat says nothing new; version and key are told', (t) => {
  const later = node({
    metadata: { resourceVersion: '8', managedFields: [{ time: '2026-01-02T00:00:00Z' }] },
    status: { conditions: [{ type: 'Ready', lastHeartbeatTime: '2026-01-02T00:00:00Z' }] },
  })
  t.match(nodeGist(eventOf('MODIFIED', later)), { type: 'put', key: 'u-1 a', version: '8' })
  t.equal(digestOf(later), digestOf(node()))
  t.equal(nodeGist(JSON.stringify(node()))?.digest, digestOf(node()), 'an item of a list')
  t.equal(nodeGist(eventOf('DELETED', node()))?.type, 'deleted')
  t.end()
})

const changes: Readonly<Record<string, Json>> = {
  'an annotation': node({ metadata: { annotations: { 'tulle.dev/route-mode': 'direct' } } }),
  'no annotations': node({ metadata: { annotations: undefined } }),
  podCIDRs: node({ spec: { podCIDRs: ['10.1.0.0/24', 'fd00::/64'] } }),
  podCIDR: node({ spec: { podCIDR: '10.2.0.0/24' } }),
  'an address': node({ status: { addresses: [{ type: 'InternalIP', address: '10.0.0.2' }] } }),
  'no address': node({ status: { addresses: [] } }),
}
for (const [what, changed] of Object.entries(changes))
  test(`told: ${what}`, (t) => {
    t.not(digestOf(changed), digestOf(node()))
    t.end()
  })

test('parsed in any case: escapes beyond ASCII, keys that come twice, other shapes', (t) => {
  const escaped = eventOf('MODIFIED', node()).replace('"a"', '"\\u0061"')
  t.equal(nodeGist(escaped), undefined)
  const twice = node({ metadata: { ownerReferences: [{ addresses: [] }] } })
  t.equal(digestOf(twice), undefined)
  t.equal(nodeGist('{"type":"MODIFIED","object":{}}'), undefined)
  t.equal(nodeGist(eventOf('MODIFIED', node()).slice(0, -20)), undefined, 'cut')
  t.equal(isOfObject('{"type":"BOOKMARK","object":{}}'), false)
  t.equal(isOfObject('{"type":"ADDED","object":{}}'), true)
  t.end()
})

const text = fc.oneof(
  fc.constantFrom('"addresses":[', '"annotations":{', '\\"podCIDRs\\":[', '}', ']', '"', '\\'),
  fc.string({ maxLength: 6 }),
)
const words = fc.dictionary(text, text, { maxKeys: 3 })
const anyNode = fc
  .record({
    labels: words,
    annotations: fc.record(
      { 'tulle.dev/route-mode': fc.constantFrom('auto', 'vxlan', 'direct', 'x'), odd: text },
      { requiredKeys: [] },
    ),
    podCIDRs: fc.array(fc.constantFrom('10.1.0.0/24', '10.2.0.0/24', 'fd00::/64'), {
      maxLength: 2,
    }),
    addresses: fc.array(fc.constantFrom('10.0.0.1', '10.0.0.2', 'fd00::1'), { maxLength: 2 }),
    condition: text,
  })
  .map(({ labels, annotations, podCIDRs, addresses, condition }) =>
    node({
      metadata: { labels, annotations },
      spec: { podCIDR: podCIDRs[0], podCIDRs },
      status: {
        conditions: [{ type: 'Ready', message: condition }],
        addresses: addresses.map((address) => ({ type: 'InternalIP', address })),
      },
    }),
  )

test('law: equal gists, equal nodes', (t) => {
  fc.assert(
    fc.property(anyNode, anyNode, (left, right) => {
      const digests = [digestOf(left), digestOf(right)]
      if (digests[0] === undefined || digests[0] !== digests[1]) return
      const [one, other] = [left, right].map((one) => decodeNode(one, { flannelCompat: true }))
      if (!one?.node || !other?.node || !sameNode(one.node, other.node))
        throw new Error('the gist hides a difference')
    }),
    { numRuns: 5_000 },
  )
  t.end()
})

test('the book knows what was parsed last, and nothing of what is gone', (t) => {
  const book = new GistBook()
  const put = { type: 'put', key: 'k', version: '1', digest: 5 } as const
  t.equal(book.isKnown(put), false)
  book.keep(put)
  t.equal(book.isKnown(put), true)
  t.equal(book.isKnown({ ...put, digest: 6 }), false)
  t.equal(book.isKnown({ ...put, type: 'deleted' }), false)
  book.keep({ ...put, type: 'deleted' })
  t.equal(book.isKnown(put), false)
  book.keep(put)
  book.clear()
  t.equal(book.isKnown(put), false)
  t.end()
})
