import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import type { Address } from '../../src/base/address.ts'
import { type HttpServer, type Place, type Routes, serveHttp } from '../../src/serve/http-server.ts'
import { AgentMetrics } from '../../src/serve/metrics.ts'
import { status } from './status.ts'

const loopback: Address = { family: 4, value: 0x7f000001n }
const tcp: Place = { kind: 'tcp', address: loopback, port: 0 }
const routes: Routes = {
  '/ok': () => ({ code: 200, type: 'text/plain', body: 'ö\n' }),
  '/later': async () => ({ code: 503, type: 'text/plain', body: 'not yet\n' }),
  '/broken': () => {
    throw new Error('a bug')
  },
}

type Got = { readonly code: number | undefined; readonly body: string; readonly length: string }

function get(to: object, method = 'GET'): Promise<Got> {
  return new Promise((resolve, reject) => {
    const take = (response: IncomingMessage): void => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => {
        body += part
      })
      const length = response.headers['content-length'] ?? ''
      response.on('end', () => resolve({ code: response.statusCode, body, length }))
    }
    request({ ...to, method, agent: false }, take)
      .on('error', reject)
      .end()
  })
}

async function withServer(place: Place, use: (server: HttpServer) => Promise<void>): Promise<void> {
  const server = await serveHttp(place, routes)
  try {
    await use(server)
  } finally {
    await server.close()
    await server.close()
  }
}

test('over TCP: what the routes answer, and nothing else', (t) =>
  withServer(tcp, async ({ port }) => {
    const to = (path: string) => ({ host: '127.0.0.1', port, path })
    t.same(await get(to('/ok')), { code: 200, body: 'ö\n', length: '3' })
    t.same(await get(to('/ok?x=1')), { code: 200, body: 'ö\n', length: '3' })
    t.same(await get(to('/ok'), 'HEAD'), { code: 200, body: '', length: '3' })
    t.match(await get(to('/later')), { code: 503, body: 'not yet\n' })
    t.match(await get(to('/broken')), { code: 500, body: 'a bug\n' })
    t.match(await get(to('/constructor')), { code: 404, body: '/ok /later /broken' })
    t.match(await get(to('/ok'), 'POST'), { code: 405 })
  }))

test('over a unix socket of its owner alone, in the place of a stale one', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tt-serve-'))
  const path = join(folder, 'agent.sock')
  writeFileSync(path, 'what an agent that was killed left')
  try {
    await withServer({ kind: 'unix', path }, async () => {
      t.equal(statSync(path).mode & 0o777, 0o600)
      t.match(await get({ socketPath: path, path: '/ok' }), { code: 200 })
    })
    t.throws(() => statSync(path), { code: 'ENOENT' })
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a place that is taken or is not there is told in words', (t) =>
  withServer(tcp, async ({ port = 0 }) => {
    const taken: Place = { ...tcp, port }
    await t.rejects(serveHttp(taken, routes), {
      message: new RegExp(`Cannot listen on 127.0.0.1:${port}: .*EADDRINUSE`),
    })
    const nowhere: Place = { kind: 'unix', path: '/nowhere/agent.sock' }
    await t.rejects(serveHttp(nowhere, routes), { message: /Cannot listen on \/nowhere/ })
  }))

test('closing does not wait for a peer that says nothing', (t) =>
  withServer(tcp, async (server) => {
    const socket = connect(server.port ?? 0, '127.0.0.1')
    await new Promise((resolve) => socket.once('connect', resolve))
    const ended = new Promise((resolve) => socket.once('close', resolve))
    socket.on('error', () => undefined)
    await server.close()
    await ended
    t.pass()
  }))

test('metrics say what the status says, with units in their names', async (t) => {
  const metrics = new AgentMetrics()
  metrics.observeConvergence(0.004)
  await metrics.answer(status)
  const { body, type } = await metrics.answer(status)
  t.match(type, /^text\/plain; version=0.0.4/)
  for (const line of [
    'tulle_build_info{version="1.2.3",node="n1"} 1',
    'tulle_ready 1',
    'tulle_source_connected 1',
    'tulle_source_last_contact_seconds 1.5',
    'tulle_pod_mtu_bytes 1450',
    'tulle_leases_used 3',
    'tulle_leases_free 250',
    'tulle_peers{mode="direct"} 1',
    'tulle_peers{mode="vxlan"} 0',
    'tulle_peers{mode="mixed"} 1',
    'tulle_peers{mode="none"} 1',
    'tulle_findings{check="duplicate-pod-cidr"} 1',
    'tulle_drift_repairs_total{kind="route"} 3',
    'tulle_drift_repairs_total{kind="fdb"} 2',
    'tulle_errors_total{loop="fabric"} 2',
    'tulle_loop_runs_total{loop="fabric"} 9',
    'tulle_convergence_seconds_bucket{le="0.005"} 1',
    'tulle_convergence_seconds_bucket{le="0.0025"} 0',
    'tulle_convergence_seconds_count 1',
  ])
    t.ok(body.split('\n').includes(line), line)
  const healed = await metrics.answer({ ...status, findings: [] })
  t.notMatch(healed.body, 'duplicate-pod-cidr', 'what is no longer wrong is no longer told')
})
