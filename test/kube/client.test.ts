import { createServer } from 'node:net'
import { type Test, test } from 'tap'
import { KubeClient } from '../../src/kube/client.ts'
import type { ApiAccess } from '../../src/kube/credentials.ts'
import { nodeObject } from '../support/api-objects.ts'
import { ApiServer } from '../support/api-server.ts'
import { clientOf } from './reflected.ts'

const getNode = { method: 'GET', path: '/api/v1/nodes/node-1' } as const
const stream = { idleMs: 100, deadlineMs: 5000, onChunk: () => undefined }

async function served(t: Test): Promise<ApiServer> {
  const server = new ApiServer()
  await server.listen()
  t.teardown(() => server.stop())
  server.store.put('/nodes', nodeObject(1))
  return server
}

test('an answer is JSON', async (t) => {
  const server = await served(t)
  server.faults.pieceBytes = 3
  t.match(await clientOf(server).call(getNode), { metadata: { name: 'node-1' } })
})

test('a refusal has the status, the reason and the server’s words', async (t) => {
  const server = await served(t)
  const call = clientOf(server).call({ ...getNode, path: '/api/v1/nodes/node-2' })
  await t.rejects(call, {
    name: 'KubeRefusal',
    message:
      `Cannot GET /api/v1/nodes/node-2 at ${server.url}: ` +
      '404 NotFound (nodes "node-2" not found)',
  })
})

test('what a proxy answers is a refusal too', async (t) => {
  const proxy = createServer((socket) => {
    socket.end('HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\n\r\n<html>no upstream</html>')
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  t.teardown(() => proxy.close())
  const { port } = proxy.address() as { port: number }
  await t.rejects(clientOf({ url: `http://127.0.0.1:${port}` }).call(getNode), {
    message: /502 \("<html>no upstream/,
  })
})

test('no server: the kernel’s words and the address', async (t) =>
  t.rejects(clientOf({ url: 'http://127.0.0.1:1' }).call(getNode), {
    name: 'KubeUnreachable',
    message: /at http:\/\/127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1/,
  }))

test('a server that says nothing is given up', async (t) => {
  const server = await served(t)
  const client = clientOf(server)
  await client.call(getNode) // the connection is kept, so the silence meets an old one
  server.hang()
  const signal = new AbortController().signal
  await t.rejects(client.stream(getNode, { ...stream, signal }), {
    message: /not a byte for 0.1 s/,
  })
})

test('so is one that never comes to an end', async (t) => {
  const server = await served(t)
  server.bookmarkMs = 10
  const call = {
    ...getNode,
    path: '/api/v1/nodes',
    query: { watch: true, allowWatchBookmarks: true },
  }
  const signal = new AbortController().signal
  await t.rejects(clientOf(server).stream(call, { ...stream, deadlineMs: 200, signal }), {
    message: /takes longer than 0.2 s/,
  })
})

test('a call that is stopped ends at once', async (t) => {
  const server = await served(t)
  server.hang()
  const stopping = new AbortController()
  const call = clientOf(server).call(getNode, stopping.signal)
  stopping.abort()
  await t.rejects(call, { message: /stopped/ })
  await t.rejects(clientOf(server).call(getNode, stopping.signal), { message: /stopped/ })
})

test('what a reader throws ends the call and is what the caller gets', async (t) => {
  const server = await served(t)
  const fault = new Error('of the reader')
  const onChunk = (): never => {
    throw fault
  }
  const signal = new AbortController().signal
  const call = clientOf(server).stream(getNode, { ...stream, signal, onChunk })
  await t.rejects(call, fault)
})

test('a kept connection that the server closed is no fault of the next call', async (t) => {
  const server = await served(t)
  const client = clientOf(server)
  await client.call(getNode)
  server.drop() // its end is on the way while the next call is already sent
  t.match(await client.call(getNode), { kind: 'Node' })
})

test('a token that was refused is read again', async (t) => {
  const server = await served(t)
  server.faults.tokens.add('new')
  let token = 'old'
  const reads: string[] = []
  const client = new KubeClient((): ApiAccess => {
    reads.push(token)
    return { server: server.url, skipVerify: false, token, source: 'a test' }
  })
  await t.rejects(client.call(getNode), { message: /401 Unauthorized/ })
  t.equal(reads.length, 2)
  token = 'new'
  t.match(await client.call(getNode), { kind: 'Node' })
  await client.call(getNode)
  t.equal(reads.length, 3)
})
