import { Buffer } from 'node:buffer'
import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import { isIP } from 'node:net'
import { type AccessSource, RotatingAccess, sameConnection } from './access-source.ts'
import type { ApiAccess } from './credentials.ts'
import { isRefusal, KubeRefusal, KubeUnreachable } from './refusal.ts'

export type Query = Readonly<Record<string, string | number | boolean | undefined>>

export type Call = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** "/api/v1/nodes"; names in it are already encoded. */
  readonly path: string
  readonly query?: Query
  readonly body?: unknown
  /** Of the body; a patch's kind. */
  readonly contentType?: string
}

export type StreamOptions = {
  readonly signal: AbortSignal
  /** Without a byte for this long the server is taken for dead. */
  readonly idleMs: number
  /** The longest that the whole answer may take. */
  readonly deadlineMs: number
  /** The answer began, and it is no refusal. */
  readonly onConnected?: () => void
  /** What it throws ends the stream and is what the caller gets. */
  readonly onChunk: (chunk: Buffer) => void
}

/** An API server answers within 60 s or tells that it didn't; 30 s is client-go's patience. */
const answerMs = 30_000
/** Nodes, Status objects and reviews are far below; lists are streamed. */
const answerBytesMax = 8 * 2 ** 20
/** More than a few requests at a time would be a fault of ours. */
const connectionsMax = 8

/**
 * Speaks to one API server over HTTP/1.1. Faults: KubeRefusal, KubeUnreachable and
 * CredentialsRefusal.
 */
export class KubeClient {
  readonly #access: RotatingAccess
  #agent: http.Agent | undefined
  #agentAccess: ApiAccess | undefined

  constructor(source: AccessSource, nowMs: () => number = () => performance.now()) {
    this.#access = new RotatingAccess(source, nowMs)
  }

  /** Reads the credentials, so that a start can be refused with a clear text. */
  access(): ApiAccess {
    return this.#access.now()
  }

  /** One request, one JSON answer. */
  async call(call: Call, signal: AbortSignal = never): Promise<unknown> {
    const pieces: Buffer[] = []
    let bytes = 0
    const onChunk = (chunk: Buffer): void => {
      bytes += chunk.length
      if (bytes > answerBytesMax)
        throw new KubeUnreachable(
          wordsOf(call),
          `the answer is longer than ${answerBytesMax} bytes`,
        )
      pieces.push(chunk)
    }
    await this.stream(call, { signal, idleMs: answerMs, deadlineMs: answerMs, onChunk })
    const text = Buffer.concat(pieces).toString('utf8')
    try {
      return JSON.parse(text)
    } catch (cause) {
      throw new KubeUnreachable(wordsOf(call), 'the answer is not JSON', { cause })
    }
  }

  /** One request whose answer is read as it comes. A 401 makes it read the credentials again. */
  async stream(call: Call, options: StreamOptions): Promise<void> {
    const access = this.#access.now()
    try {
      await this.#exchange(call, access, options)
    } catch (fault) {
      const renewed = isRefusal(fault, 401) ? this.#access.renewed(access) : undefined
      if (renewed === undefined) throw fault
      await this.#exchange(call, renewed, options)
    }
  }

  /** Ends idle connections; what is under way is ended by its own signal. */
  close(): void {
    closeIdle(this.#agent)
    this.#agent = undefined
    this.#agentAccess = undefined
  }

  #agentFor(access: ApiAccess): http.Agent {
    if (this.#agent && this.#agentAccess && sameConnection(this.#agentAccess, access))
      return this.#agent
    closeIdle(this.#agent)
    const options = { keepAlive: true, maxSockets: connectionsMax, maxFreeSockets: 2 }
    this.#agent = access.server.startsWith('https:')
      ? new https.Agent({ ...options, ...tlsOf(access) })
      : new http.Agent(options)
    this.#agentAccess = access
    return this.#agent
  }

  async #exchange(call: Call, access: ApiAccess, options: StreamOptions): Promise<void> {
    try {
      await this.#exchangeOnce(call, access, options)
    } catch (fault) {
      // The server closed an idle connection just when it was taken up again. A POST is not sent
      // twice: nobody knows whether it was done.
      if (!(fault instanceof KubeUnreachable && fault.onOldConnection)) throw fault
      if (call.method === 'POST') throw fault
      await this.#exchangeOnce(call, access, options)
    }
  }

  #exchangeOnce(call: Call, access: ApiAccess, options: StreamOptions): Promise<void> {
    const what = `${wordsOf(call)} at ${access.server}`
    const { signal, idleMs, deadlineMs } = options
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(new KubeUnreachable(what, 'stopped'))
      const request = open(call, access, this.#agentFor(access), idleMs)
      let answered = false
      const fail = (fault: unknown): void => {
        reject(fault)
        request.destroy()
      }
      const stop = (): void => fail(new KubeUnreachable(what, 'stopped'))
      const deadline = setTimeout(() => {
        fail(new KubeUnreachable(what, `the answer takes longer than ${deadlineMs / 1000} s`))
      }, deadlineMs)
      signal.addEventListener('abort', stop)
      request.on('close', () => {
        clearTimeout(deadline)
        signal.removeEventListener('abort', stop)
        if (!answered) fail(new KubeUnreachable(what, 'the connection was closed'))
      })
      request.on('timeout', () =>
        fail(new KubeUnreachable(what, `not a byte for ${idleMs / 1000} s`)),
      )
      request.on('error', (fault) =>
        fail(unreachableBy(what, fault, { onOldConnection: request.reusedSocket && !answered })),
      )
      request.on('response', (response) => {
        answered = true
        readAnswer(what, response, options).then(resolve, fail)
      })
      request.end(call.body === undefined ? undefined : JSON.stringify(call.body))
    })
  }
}

const never = new AbortController().signal

const wordsOf = ({ method, path, query }: Call): string =>
  `${query?.watch === true ? 'watch' : method} ${path}`

function open(
  call: Call,
  access: ApiAccess,
  agent: http.Agent,
  idleMs: number,
): http.ClientRequest {
  const url = new URL(access.server + call.path)
  for (const [key, value] of Object.entries(call.query ?? {}))
    if (value !== undefined) url.searchParams.set(key, String(value))
  const headers: Record<string, string> = { accept: 'application/json', 'user-agent': 'tulle' }
  if (access.token !== undefined) headers.authorization = `Bearer ${access.token}`
  if (call.body !== undefined) headers['content-type'] = call.contentType ?? 'application/json'
  // As an option, unlike setTimeout of the request, it counts while connecting too.
  const options = { method: call.method, headers, agent, timeout: idleMs }
  return url.protocol === 'https:' ? https.request(url, options) : http.request(url, options)
}

function tlsOf(access: ApiAccess): https.AgentOptions {
  const host = new URL(access.server).hostname.replace(/^\[|\]$/g, '')
  const serverName = access.serverName ?? (isIP(host) === 0 ? host : undefined)
  return {
    rejectUnauthorized: !access.skipVerify,
    ...(access.ca === undefined ? {} : { ca: access.ca }),
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(access.client ? { cert: access.client.certificate, key: access.client.key } : {}),
  }
}

/** A destroyed agent would cut the watch that still runs over it. */
function closeIdle(agent: http.Agent | undefined): void {
  for (const sockets of Object.values(agent?.freeSockets ?? {}))
    for (const socket of sockets ?? []) socket.destroy()
}

async function readAnswer(
  what: string,
  response: IncomingMessage,
  { onConnected, onChunk }: Pick<StreamOptions, 'onConnected' | 'onChunk'>,
): Promise<void> {
  const status = response.statusCode ?? 0
  if (status < 200 || status > 299) throw await refusalOf(what, status, response)
  onConnected?.()
  await new Promise<void>((resolve, reject) => {
    response.on('data', (chunk: Buffer) => {
      try {
        onChunk(chunk)
      } catch (fault) {
        reject(fault)
        response.destroy()
      }
    })
    response.on('end', resolve)
    response.on('error', (fault) => reject(unreachableBy(what, fault)))
    response.on('close', () => reject(new KubeUnreachable(what, 'the connection was closed')))
  })
}

const statusBytesMax = 64 * 1024

async function refusalOf(
  what: string,
  status: number,
  response: IncomingMessage,
): Promise<KubeRefusal> {
  const pieces: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response) {
      bytes += chunk.length
      if (bytes > statusBytesMax) break
      pieces.push(chunk)
    }
  } catch {
    // What came of the answer is enough: its status is known.
  }
  const text = Buffer.concat(pieces).toString('utf8')
  const seconds = Number(response.headers['retry-after'] ?? Number.NaN)
  return new KubeRefusal(what, {
    status,
    body: parseStatus(text),
    retryAfterSeconds: Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined,
  })
}

function parseStatus(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text === '' ? undefined : text
  }
}

function unreachableBy(
  what: string,
  fault: Error,
  { onOldConnection } = { onOldConnection: false },
): KubeUnreachable {
  const { code, message } = fault as NodeJS.ErrnoException
  // AggregateError of a name with several addresses has a code and no message.
  const found = message || code || fault.name
  return new KubeUnreachable(what, found, { cause: fault, onOldConnection })
}
