import type { ServerResponse } from 'node:http'
import { type ApiObject, type Change, type Stored, selects } from './api-store.ts'

export type Selectors = { readonly fieldSelector: string; readonly labelSelector: string }

export type WatchOptions = Selectors & {
  readonly collection: string
  readonly namespace: string | undefined
  readonly bookmarks: boolean
  readonly timeoutMs: number
  readonly bookmarkMs: number
  readonly pieceBytes: number
  /** For bookmarks: which kind they are of, and the latest revision. */
  readonly kind: { readonly apiVersion: string; readonly kind: string }
  readonly revision: () => number
}

/** One watch that somebody has open: events as lines of JSON. */
export class ApiWatch {
  readonly #response: ServerResponse
  readonly #options: WatchOptions
  readonly #timers: NodeJS.Timeout[]
  #silent = false

  constructor(response: ServerResponse, options: WatchOptions) {
    this.#response = response
    this.#options = options
    response.writeHead(200, { 'content-type': 'application/json' })
    response.flushHeaders()
    this.#timers = [
      setTimeout(() => this.end(), options.timeoutMs),
      setInterval(() => this.bookmark(), options.bookmarkMs),
    ]
    response.on('close', () => this.#stopTimers())
  }

  isChosen(object: ApiObject): boolean {
    const { namespace } = this.#options
    if (namespace !== undefined && object.metadata.namespace !== namespace) return false
    return selects(this.#options, object)
  }

  /** What a change is to this watch: an object can come into its selection, and leave it. */
  tell({ collection, before, after }: Change): void {
    if (collection !== this.#options.collection) return
    const was = before !== undefined && this.isChosen(before.object)
    const is = after !== undefined && this.isChosen(after.object)
    if (is) this.send(was ? 'MODIFIED' : 'ADDED', after)
    else if (was && before) this.send('DELETED', after ? stampedAs(before, after) : before)
  }

  send(type: string, { text }: { readonly text: string }): void {
    this.#write(`{"type":"${type}","object":${text}}\n`)
  }

  bookmark(): void {
    if (!this.#options.bookmarks) return
    const { kind, revision } = this.#options
    const metadata = { resourceVersion: String(revision()), creationTimestamp: null }
    this.send('BOOKMARK', { text: JSON.stringify({ ...kind, metadata }) })
  }

  /** An error within the stream, after which it ends. */
  fail(status: object): void {
    this.send('ERROR', { text: JSON.stringify(status) })
    this.end()
  }

  /** As the server ends a watch whose time is over: last a bookmark, and properly closed. */
  end(): void {
    this.bookmark()
    this.#stopTimers()
    if (!this.#silent) this.#response.end()
  }

  /** Never writes again, and doesn't close either. */
  silence(): void {
    this.#silent = true
    this.#stopTimers()
  }

  cut(): void {
    this.#response.socket?.destroy()
  }

  #write(line: string): void {
    if (this.#silent || this.#response.writableEnded) return
    for (const piece of piecesOf(line, this.#options.pieceBytes)) this.#response.write(piece)
  }

  #stopTimers(): void {
    for (const timer of this.#timers) clearTimeout(timer)
  }
}

/** An object that leaves a selection is told as it was, at the version where it left. */
function stampedAs({ object }: Stored, { revision }: Stored): { readonly text: string } {
  const metadata = { ...object.metadata, resourceVersion: String(revision) }
  return { text: JSON.stringify({ ...object, metadata }) }
}

export function piecesOf(text: string, bytes: number): readonly Buffer[] {
  const all = Buffer.from(text)
  if (bytes === 0) return [all]
  const count = Math.ceil(all.length / bytes)
  return Array.from({ length: count }, (_, index) =>
    all.subarray(index * bytes, (index + 1) * bytes),
  )
}
