import http, { type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { at, isObject, textOf } from '../../src/cluster/json-value.ts'
import { discovery, kindOf } from './api-discovery.ts'
import { ApiFaults } from './api-faults.ts'
import { mergePatch, strategicMergePatch } from './api-patch.ts'
import { type ApiObject, ApiStore, keyOf, type Stored, selects } from './api-store.ts'
import { ApiWatch, piecesOf } from './api-watch.ts'

/**
 * A stand-in for the Kubernetes API: what kube-apiserver says over HTTP/1.1 to list, watch, get,
 * create, update, patch and delete, for any resource. It knows no schemas and no defaults.
 */
export class ApiServer {
  readonly store = new ApiStore()
  readonly faults = new ApiFaults()
  /** Real ones send a bookmark about every minute. */
  bookmarkMs = 60_000
  /** Called before each request is answered, with the whole server at its mercy. */
  onRequest = (): void => undefined
  /** Each request that was let in: "GET /api/v1/nodes?limit=500". */
  readonly requests: string[] = []
  readonly #watches = new Set<ApiWatch>()
  readonly #sockets = new Set<Socket>()
  /** What a paged list goes on with: the list as it was when it began. */
  readonly #pages = new Map<string, { revision: number; rest: readonly Stored[] }>()
  readonly #servers: Server[] = []
  readonly #tls: https.ServerOptions | undefined
  #port = 0

  constructor(tls?: https.ServerOptions) {
    this.#tls = tls
    this.store.listen((change) => {
      for (const watch of this.#watches) watch.tell(change)
    })
  }

  /** Listens on a port of its own choice the first time, afterwards on the same one again. */
  async listen({ host = '127.0.0.1', port = this.#port, path = '' } = {}): Promise<void> {
    const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
      this.#serve(request, response).catch((fault: unknown) => {
        response.destroy(fault instanceof Error ? fault : undefined)
      })
    }
    const server = this.#tls
      ? https.createServer(this.#tls, onRequest)
      : http.createServer(onRequest)
    server.on(this.#tls ? 'secureConnection' : 'connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    await new Promise<void>((resolve, reject) => {
      server.on('error', reject)
      server.listen(path === '' ? { host, port } : { path }, resolve)
    })
    this.#servers.push(server)
    if (path === '') this.#port = (server.address() as AddressInfo).port
  }

  get url(): string {
    return `${this.#tls ? 'https' : 'http'}://127.0.0.1:${this.#port}`
  }

  get watches(): number {
    return this.#watches.size
  }

  /** Stops listening and cuts every connection; `listen` brings it back with all its objects. */
  async stop(): Promise<void> {
    const closed = this.#servers
      .splice(0)
      .map((server) => new Promise((resolve) => server.close(resolve)))
    this.drop()
    await Promise.all(closed)
    for (const watch of this.#watches) watch.silence()
    this.#watches.clear()
  }

  /** Cuts every connection, in the middle of whatever it is doing. */
  drop(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Ends every watch as if its time were over. */
  endWatches(): void {
    for (const watch of [...this.#watches]) watch.end()
  }

  /** From now on nothing is said, not even on watches that are open; they stay deaf for good. */
  hang(): void {
    this.faults.hanging = true
    for (const watch of this.#watches) watch.silence()
    this.#watches.clear()
  }

  /** New requests are answered again. */
  recover(): void {
    this.faults.hanging = false
  }

  /** Forgets history and unfinished pages: older versions are answered by 410. */
  compact(): void {
    this.store.compact()
    this.#pages.clear()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://api')
    const control = controls[url.pathname.replace('/stand-in/', '')]
    if (control !== undefined) {
      this.#sockets.delete(request.socket) // whoever asks for a cut wants an answer
      control(this, url.searchParams)
      return this.#send(response, { status: 200, text: '{}' })
    }
    const { slowMs } = this.faults
    if (this.faults.hanging) return
    if (slowMs > 0) await new Promise((resolve) => setTimeout(resolve, slowMs))
    try {
      const body = await readBody(request)
      const found = request.method === 'GET' && discovery(url.pathname)
      if (found) return this.#send(response, { status: 200, text: JSON.stringify(found) })
      const asked = this.#admit(request, url, body)
      if (asked.verb === 'watch') this.#watch(asked, response)
      else this.#send(response, this.#answer(asked))
    } catch (fault) {
      if (!(fault instanceof Refused)) throw fault
      if (fault.retryAfterSeconds !== undefined)
        response.setHeader('retry-after', fault.retryAfterSeconds)
      const text = JSON.stringify(statusOf(fault.status, fault.reason, fault.message))
      this.#send(response, { status: fault.status, text })
    }
  }

  #admit(request: IncomingMessage, url: URL, body: unknown): Asked {
    const { tokens, refusals, denied } = this.faults
    const token = request.headers.authorization?.replace(/^Bearer /, '') ?? ''
    if (tokens.size > 0 && !tokens.has(token)) throw new Refused(401, 'Unauthorized')
    const isKnown = request.socket instanceof TLSSocket && request.socket.authorized
    if (this.faults.certificates && !isKnown) throw new Refused(401, 'Unauthorized')
    this.requests.push(`${request.method} ${request.url}`)
    this.onRequest()
    const refusal = refusals.shift()
    if (refusal) throw Object.assign(new Refused(refusal.status, refusal.reason), refusal)
    const target = targetOf(url.pathname)
    if (target === undefined) throw new Refused(404, 'NotFound', 'no such path')
    const verb = verbOf(request.method ?? '', target, url)
    if (this.faults.undefinedResources.has(target.collection))
      throw new Refused(404, 'NotFound', 'the server could not find the requested resource')
    if (denied.has(`${verb} ${target.resource}`))
      throw new Refused(403, 'Forbidden', forbidden(verb, target))
    return { verb, target, url, body, type: request.headers['content-type'] ?? '' }
  }

  #answer(asked: Asked): Answer {
    const { verb, target } = asked
    if (target.plural === 'selfsubjectaccessreviews') return this.#review(asked)
    if (verb === 'list') return this.#list(asked)
    if (verb === 'create') return this.#create(asked)
    const stored = this.store.get(target.collection, target.key)
    if (stored === undefined)
      throw new Refused(404, 'NotFound', `${target.plural} "${target.name}" not found`)
    if (verb === 'get') return { status: 200, text: stored.text }
    if (verb === 'delete')
      return { status: 200, text: this.store.delete(target.collection, target.key)?.text ?? '' }
    return this.#write(asked, stored)
  }

  #list({ target, url }: Asked): Answer {
    const limit = Number(url.searchParams.get('limit') ?? 0)
    const token = url.searchParams.get('continue') ?? ''
    const begun = token === '' ? undefined : this.#pages.get(token)
    if (token !== '' && begun === undefined) throw new Refused(410, 'Expired', expired)
    const revision = begun?.revision ?? this.store.revision
    const all = begun?.rest ?? this.#chosen(target, url)
    const page = limit > 0 ? all.slice(0, limit) : all
    const rest = all.slice(page.length)
    const next = rest.length === 0 ? '' : `page-${revision}-${page.at(-1)?.revision}-${rest.length}`
    if (next !== '') this.#pages.set(next, { revision, rest })
    const metadata = {
      resourceVersion: String(revision),
      ...(next === '' ? {} : { continue: next, remainingItemCount: rest.length }),
    }
    const { apiVersion, kind } = typeOf(target)
    const head = JSON.stringify({ kind: `${kind}List`, apiVersion, metadata }).slice(0, -1)
    return { status: 200, text: `${head},"items":[${page.map(({ text }) => text).join(',')}]}` }
  }

  #chosen(target: Target, url: URL): readonly Stored[] {
    return this.store.list(target.collection).filter(({ object }) => {
      const { namespace } = target
      if (namespace !== undefined && object.metadata.namespace !== namespace) return false
      return selects(selectorsOf(url), object)
    })
  }

  #watch({ target, url }: Asked, response: ServerResponse): void {
    const asked = Number(url.searchParams.get('resourceVersion') ?? 0)
    const { store, faults } = this
    if (asked > store.revision) {
      const message = `Too large resource version: ${asked}, current: ${store.revision}`
      throw new Refused(504, 'Timeout', message)
    }
    const isGone = asked !== 0 && asked < store.compacted
    if (isGone && faults.goneAs === 'http') throw new Refused(410, 'Expired', expired)
    const seconds = Number(url.searchParams.get('timeoutSeconds') ?? 1800)
    const watch = new ApiWatch(response, {
      ...selectorsOf(url),
      collection: target.collection,
      namespace: target.namespace,
      bookmarks: url.searchParams.get('allowWatchBookmarks') === 'true',
      timeoutMs: seconds * 1000,
      bookmarkMs: this.bookmarkMs,
      pieceBytes: faults.pieceBytes,
      kind: typeOf(target),
      revision: () => store.revision,
    })
    if (isGone) {
      watch.fail(statusOf(410, 'Expired', expired))
      return
    }
    this.#watches.add(watch)
    response.on('close', () => this.#watches.delete(watch))
    // In one piece: real servers flush when nothing more is waiting.
    response.cork()
    if (asked === 0) for (const stored of this.#chosen(target, url)) watch.send('ADDED', stored)
    else for (const change of store.since(asked)) watch.tell(change)
    response.uncork()
  }

  #create({ target, body }: Asked): Answer {
    const metadata = at(body, 'metadata')
    if (!isObject(body) || !isObject(metadata)) throw new Refused(400, 'BadRequest', 'no object')
    const made = textOf(metadata.generateName)
    const name = textOf(metadata.name) ?? (made && `${made}${this.store.revision}`)
    if (name === undefined) throw new Refused(422, 'Invalid', 'metadata.name: required')
    const namespace = target.namespace === undefined ? {} : { namespace: target.namespace }
    const object: ApiObject = { ...body, metadata: { ...metadata, name, ...namespace } }
    if (this.store.get(target.collection, keyOf(object)))
      throw new Refused(409, 'AlreadyExists', `${target.plural} "${name}" already exists`)
    return { status: 201, text: this.store.put(target.collection, object).text }
  }

  #write({ verb, target, body, type }: Asked, stored: Stored): Answer {
    const patch = verb === 'update' ? () => body : patches[type.split(';')[0] ?? '']
    if (patch === undefined) throw new Refused(415, 'UnsupportedMediaType', `a patch of ${type}`)
    const asked = textOf(at(body, 'metadata', 'resourceVersion'))
    if (asked !== undefined && asked !== String(stored.revision))
      throw new Refused(409, 'Conflict', 'the object has been modified')
    const written = patch(stored.object, body) as ApiObject
    // A write to the object leaves its status alone, one to the status all but that and metadata.
    const isOfStatus = target.subresource === 'status'
    const kept = isOfStatus ? { ...stored.object, metadata: written.metadata } : written
    const status = isOfStatus ? written.status : stored.object.status
    const object = { ...kept, ...(status === undefined ? {} : { status }) }
    return { status: 200, text: this.store.put(target.collection, object).text }
  }

  #review({ body }: Asked): Answer {
    const asked = (key: string): string => textOf(at(body, 'spec', 'resourceAttributes', key)) ?? ''
    const subresource = asked('subresource')
    const resource = `${asked('resource')}${subresource && `/${subresource}`}`
    const allowed = !this.faults.denied.has(`${asked('verb')} ${resource}`)
    return { status: 201, text: JSON.stringify({ ...(body as object), status: { allowed } }) }
  }

  #send(response: ServerResponse, { status, text }: Answer): void {
    response.writeHead(status, { 'content-type': 'application/json' })
    for (const piece of piecesOf(text, this.faults.pieceBytes)) response.write(piece)
    response.end()
  }
}

type Answer = { readonly status: number; readonly text: string }

/** What a Status object tells. */
class Refused extends Error {
  readonly status: number
  readonly reason: string
  readonly retryAfterSeconds?: number

  constructor(status: number, reason: string, message = reason) {
    super(message)
    this.status = status
    this.reason = reason
  }
}

/** For a test in another process: POST /stand-in/drop, and so on. */
const controls: Readonly<Record<string, (server: ApiServer, words: URLSearchParams) => void>> = {
  drop: (server) => server.drop(),
  hang: (server) => server.hang(),
  recover: (server) => server.recover(),
  compact: (server) => server.compact(),
  'end-watches': (server) => server.endWatches(),
  /** ?right=watch%20nodes */
  deny: (server, words) => server.faults.denied.add(words.get('right') ?? ''),
  grant: (server, words) => server.faults.denied.delete(words.get('right') ?? ''),
}

const patches: Readonly<Record<string, (target: unknown, patch: unknown) => unknown>> = {
  'application/merge-patch+json': mergePatch,
  'application/strategic-merge-patch+json': strategicMergePatch,
}

type Target = {
  readonly collection: string
  readonly plural: string
  readonly group: string
  readonly version: string
  readonly namespace: string | undefined
  readonly name: string
  readonly subresource: string
  readonly key: string
  /** "nodes/status", as RBAC names it. */
  readonly resource: string
}
type Asked = {
  readonly verb: string
  readonly target: Target
  readonly url: URL
  readonly body: unknown
  readonly type: string
}

const form = new RegExp(
  '^/(?:api|apis/([^/]+))/([^/]+)' + // group and version
    '(?:/namespaces/([^/]+)(?=/[^/]+))?' +
    '/([^/]+)(?:/([^/]+))?(?:/([^/]+))?$', // plural, name, subresource
)

/** "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies/one", "/api/v1/nodes/a/status" */
function targetOf(path: string): Target | undefined {
  const found = form.exec(path)
  if (found === null) return undefined
  const [group = '', version = '', namespace, plural = '', name = '', subresource = ''] = found
    .slice(1)
    .map((word: string | undefined) => (word === undefined ? undefined : decodeURIComponent(word)))
  return {
    ...{ group, version, namespace, plural, name, subresource },
    collection: `${group}/${plural}`,
    key: namespace === undefined ? name : `${namespace}/${name}`,
    resource: subresource === '' ? plural : `${plural}/${subresource}`,
  }
}

function verbOf(method: string, { name }: Target, url: URL): string {
  if (method === 'GET' && name === '')
    return /^(true|1)$/.test(url.searchParams.get('watch') ?? '') ? 'watch' : 'list'
  return (
    { GET: 'get', POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }[method] ?? ''
  )
}

const selectorsOf = (url: URL) => ({
  fieldSelector: url.searchParams.get('fieldSelector') ?? '',
  labelSelector: url.searchParams.get('labelSelector') ?? '',
})

const typeOf = ({ group, version, plural }: Target) => ({
  apiVersion: group === '' ? version : `${group}/${version}`,
  kind: kindOf(plural),
})

const expired = 'too old resource version'

const statusOf = (code: number, reason: string, message: string) => ({
  ...{ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure' },
  ...{ message, reason, code },
})

const forbidden = (verb: string, { resource, group, namespace }: Target): string =>
  `${resource} is forbidden: User "test" cannot ${verb} resource "${resource}" in API group ` +
  `"${group}" ${namespace ? `in the namespace "${namespace}"` : 'at the cluster scope'}`

async function readBody(request: IncomingMessage): Promise<unknown> {
  const pieces: Buffer[] = []
  for await (const piece of request) pieces.push(piece)
  const text = Buffer.concat(pieces).toString('utf8')
  try {
    return text === '' ? undefined : JSON.parse(text)
  } catch {
    throw new Refused(415, 'UnsupportedMediaType', 'only JSON is understood')
  }
}
