import { test } from 'tap'
import { KubeClient } from '../../src/kube/client.ts'
import type { ApiAccess } from '../../src/kube/credentials.ts'
import { nodeObject } from '../support/api-objects.ts'
import { ApiServer } from '../support/api-server.ts'
import { makeCertificates } from '../support/certificates.ts'

const { authority, server: own, client: ours } = makeCertificates()
const another = makeCertificates()
const server = new ApiServer({
  cert: own.certificate,
  key: own.key,
  ca: authority.certificate,
  requestCert: true,
  rejectUnauthorized: false,
})
server.store.put('/nodes', nodeObject(1))
await server.listen()

const get = (access: Partial<ApiAccess>): Promise<unknown> =>
  new KubeClient(() => ({
    ...{ server: server.url, skipVerify: false, source: 'a test' },
    ...access,
  })).call({ method: 'GET', path: '/api/v1/nodes/node-1' })

const ca = authority.certificate
const node = { metadata: { name: 'node-1' } }

test('a server that the cluster’s authority vouches for', async (t) =>
  t.match(await get({ ca }), node))

test('one that nobody vouches for is refused, but for those who don’t look', async (t) => {
  await t.rejects(get({}), { name: 'KubeUnreachable' })
  await t.rejects(get({ ca: another.authority.certificate }), { name: 'KubeUnreachable' })
  t.match(await get({ skipVerify: true }), node)
})

test('its name counts where one is asked for', async (t) => {
  t.match(await get({ ca, serverName: 'api.test' }), node)
  await t.rejects(get({ ca, serverName: 'other.test' }), { message: /other.test/ })
})

test('a client certificate is shown', async (t) => {
  server.faults.certificates = true
  t.match(await get({ ca, client: ours }), node)
  await t.rejects(get({ ca }), { message: /401/ })
  await t.rejects(get({ ca, client: another.client }), { message: /401/ })
})

test('an authority that was replaced counts from the next look at the file on', async (t) => {
  server.faults.certificates = false
  let file = another.authority.certificate
  let nowMs = 0
  const source = (): ApiAccess => ({
    ...{ server: server.url, skipVerify: false, source: 'a test' },
    ca: file,
  })
  const client = new KubeClient(source, () => nowMs)
  const call = { method: 'GET', path: '/api/v1/nodes/node-1' } as const
  await t.rejects(client.call(call), { name: 'KubeUnreachable' })
  file = ca
  nowMs = 10_000
  t.match(await client.call(call), node)
  await server.stop()
})
