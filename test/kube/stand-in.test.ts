import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { nodeObject } from '../support/api-objects.ts'
import { mergePatch, strategicMergePatch } from '../support/api-patch.ts'
import { ApiServer } from '../support/api-server.ts'
import { selects } from '../support/api-store.ts'
import { clientOf, watched } from './reflected.ts'

// The stand-in is what other tests stand on, so it has tests of its own. kubernetes/client-node's
// informer speaks to it in informer.test.ts.

// RFC 7386, appendix A.
for (const [target, patch, want] of [
  [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
  [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
  [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
  [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
  [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
  [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
])
  test(`merge patch ${JSON.stringify(patch)}`, async (t) => t.same(mergePatch(target, patch), want))

// Kubernetes' "Update API Objects in Place Using kubectl patch": lists with a merge key.
for (const { why, target, patch, want } of [
  {
    why: 'adds to a list by its key',
    target: { conditions: [{ type: 'Ready', status: 'True' }] },
    patch: { conditions: [{ type: 'NetworkUnavailable', status: 'False' }] },
    want: {
      conditions: [
        { type: 'Ready', status: 'True' },
        { type: 'NetworkUnavailable', status: 'False' },
      ],
    },
  },
  {
    why: 'changes one by its key',
    target: { conditions: [{ type: 'Ready', status: 'True', reason: 'A' }] },
    patch: { conditions: [{ type: 'Ready', status: 'False' }] },
    want: { conditions: [{ type: 'Ready', status: 'False', reason: 'A' }] },
  },
  {
    why: 'deletes one by its key',
    target: { taints: [{ key: 'a' }, { key: 'b' }] },
    patch: { taints: [{ $patch: 'delete', key: 'a' }] },
    want: { taints: [{ key: 'b' }] },
  },
  {
    why: 'replaces a list without a key',
    target: { images: [1, 2] },
    patch: { images: [3] },
    want: { images: [3] },
  },
  {
    why: 'replaces an object that says so',
    target: { labels: { a: '1' } },
    patch: { labels: { $patch: 'replace', b: '2' } },
    want: { labels: { b: '2' } },
  },
])
  test(`a strategic merge patch ${why}`, async (t) =>
    t.same(strategicMergePatch(target, patch), want))

const pod = {
  metadata: { name: 'a', labels: { app: 'web', tier: 'db' } },
  spec: { nodeName: 'node-1' },
}
for (const [fieldSelector, labelSelector, want] of [
  ['', '', true],
  ['spec.nodeName=node-1', '', true],
  ['spec.nodeName==node-2', '', false],
  ['metadata.name!=b,spec.nodeName=node-1', '', true],
  ['spec.nodeName!=node-1', '', false],
  ['', 'app=web,tier', true],
  ['', 'app!=web', false],
  ['', 'none', false],
] as const)
  test(`selectors "${fieldSelector}" "${labelSelector}"`, async (t) =>
    t.equal(selects({ fieldSelector, labelSelector }, pod), want))

const node = '/api/v1/nodes/node-1'

test('a status write leaves the object, an object’s write its status', async (t) => {
  const server = new ApiServer()
  await server.listen()
  t.teardown(() => server.stop())
  server.store.put('/nodes', nodeObject(1))
  const client = clientOf(server)
  const contentType = 'application/merge-patch+json'
  const body = { spec: { podCIDR: '10.9.9.0/24' }, status: { phase: 'odd' } }
  t.match(await client.call({ method: 'PATCH', path: `${node}/status`, contentType, body }), {
    spec: { podCIDR: '10.0.1.0/24' },
    status: { phase: 'odd' },
  })
  const other = { ...body, status: { phase: 'even' } }
  t.match(await client.call({ method: 'PATCH', path: node, contentType, body: other }), {
    spec: { podCIDR: '10.9.9.0/24' },
    status: { phase: 'odd' },
  })
  const revision = server.store.revision
  await client.call({ method: 'PATCH', path: node, contentType, body })
  t.equal(server.store.revision, revision, 'a write that changes nothing makes no revision')
})

test('an old version is a conflict, a taken name too', async (t) => {
  const server = new ApiServer()
  await server.listen()
  t.teardown(() => server.stop())
  const client = clientOf(server)
  const create = { method: 'POST', path: '/api/v1/nodes', body: nodeObject(1) } as const
  t.match(await client.call(create), { metadata: { uid: /uid/, resourceVersion: /\d+/ } })
  await t.rejects(client.call(create), { message: /409 AlreadyExists/ })
  const metadata = { name: 'node-1', resourceVersion: '1' }
  const update = { method: 'PUT', path: node, body: { ...nodeObject(1), metadata } } as const
  await t.rejects(client.call(update), { message: /409 Conflict/ })
  await client.call({ method: 'DELETE', path: node })
  await t.rejects(client.call({ method: 'GET', path: node }), { message: /404 NotFound/ })
})

test('as a process of its own it is controlled by a socket that no namespace hides', async (t) => {
  // A socket's path has 107 characters at most (unix(7)); tap's folders are longer.
  const directory = mkdtempSync(join(tmpdir(), 'tulle-api-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const control = join(directory, 'control.sock')
  const program = new URL('../support/api-process.ts', import.meta.url).pathname
  const words = ['--nodes', '4', '--node-bytes', '900', '--control', control]
  const child = spawn(process.execPath, [program, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill())
  const [, url = ''] = await new Promise<string[]>((resolve) => {
    child.stdout.once('data', (line: Buffer) => resolve(line.toString().trim().split(' ')))
  })
  const ask = (path: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const asked = request({ socketPath: control, method: 'POST', path }, (response) => {
        response.resume().on('end', resolve)
      })
      asked.on('error', reject).end()
    })
  const { believer, feed } = watched({ url } as ApiServer)
  feed.start()
  t.teardown(() => feed.stop())
  await believer.until(() => believer.view.size === 4)
  await ask('/stand-in/hang')
  await ask('/stand-in/recover')
  await ask('/stand-in/compact')
  await ask('/stand-in/drop')
  await clientOf({ url }).call({ method: 'DELETE', path: node })
  await believer.until(() => believer.view.size === 3)
  t.same([...believer.view.keys()].sort(), ['node-0', 'node-2', 'node-3'])
})
