import { chmodSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Address, formatAddress } from '../base/address.ts'

export type Answer = {
  readonly code: number
  /** Content-Type. */
  readonly type: string
  readonly body: string
}
/** Path → what GET answers; anything that is thrown is a 500 with its message. */
export type Routes = Readonly<Record<string, () => Answer | Promise<Answer>>>

/** TCP for scrapers and probes; a path is a unix socket that its owner alone can open. */
export type Place =
  | { readonly kind: 'tcp'; readonly address: Address; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }

export type HttpServer = {
  /** The port that the kernel chose where 0 was asked for. */
  readonly port: number | undefined
  /** Open connections are cut; may be called twice. */
  readonly close: () => Promise<void>
}

/** A scraper or two, the kubelet and a person; more than this wait. */
const connectionsMax = 64
/** Names of headers come from anybody who reaches the port: few enough that no hash gets slow. */
const headersMax = 64
const headerBytesMax = 8 * 1024
const requestMilliseconds = 5_000

/** Serves GET and HEAD; resolves when it listens, rejects with the place in words if it can't. */
export async function serveHttp(place: Place, routes: Routes): Promise<HttpServer> {
  const server = createServer(
    {
      maxHeaderSize: headerBytesMax,
      requestTimeout: requestMilliseconds,
      headersTimeout: requestMilliseconds,
      connectionsCheckingInterval: requestMilliseconds,
    },
    (request, response) => void answer(routes, request, response),
  )
  server.maxConnections = connectionsMax
  server.maxHeadersCount = headersMax
  await listen(server, place)
  return { port: portOf(server), close: () => close(server) }
}

async function answer(
  routes: Routes,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { code, type, body } = await answerOf(routes, request)
  response.writeHead(code, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

const text = 'text/plain; charset=utf-8'

async function answerOf(routes: Routes, request: IncomingMessage): Promise<Answer> {
  const path = (request.url ?? '/').split('?')[0] ?? '/'
  const route = Object.hasOwn(routes, path) ? routes[path] : undefined
  if (!route) {
    const known = Object.keys(routes).join(' ')
    return { code: 404, type: text, body: `nothing at this path; there is ${known}\n` }
  }
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return { code: 405, type: text, body: 'GET and HEAD alone\n' }
  try {
    return await route()
  } catch (refusal) {
    const body = refusal instanceof Error ? refusal.message : String(refusal)
    return { code: 500, type: text, body: `${body}\n` }
  }
}

function listen(server: Server, place: Place): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new Error(`Cannot listen on ${nameOf(place)}: ${cause.message}`, { cause })),
    )
    server.once('listening', resolve)
    if (place.kind === 'tcp')
      server.listen({ host: formatAddress(place.address), port: place.port, ipv6Only: false })
    else listenAt(server, place.path)
  })
}

/** What lies there is of an agent that is no more: the caller holds the lock. */
function listenAt(server: Server, path: string): void {
  rmSync(path, { force: true })
  const before = process.umask(0o177)
  try {
    server.listen(path)
  } finally {
    process.umask(before)
  }
  server.once('listening', () => chmodSync(path, 0o600))
}

function nameOf(place: Place): string {
  if (place.kind === 'unix') return place.path
  const { address, port } = place
  const host = address.family === 6 ? `[${formatAddress(address)}]` : formatAddress(address)
  return `${host}:${port}`
}

function portOf(server: Server): number | undefined {
  const address: AddressInfo | string | null = server.address()
  return typeof address === 'object' ? address?.port : undefined
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
