import { type FSWatcher, readFileSync, statSync, watch } from 'node:fs'
import { dirname } from 'node:path/posix'
import { parse } from 'yaml'
import type { NodeNews } from '../cluster/node-feed.ts'
import { explainFileProblem, parseNodesFile } from '../cluster/nodes-file.ts'
import type { Clock } from './clock.ts'

/** Editors write in several steps, each an event: what is there after the last one counts. */
const settleMilliseconds = 50
/** For what inotify does not tell: network file systems, a folder that was replaced. */
const pollMilliseconds = 2000
/** 5,000 nodes are 0.6 MB. */
const fileBytesMax = 64 * 1024 * 1024

export type NodesFileOptions = {
  readonly path: string
  readonly clock: Clock
  readonly onNews: (news: NodeNews) => void
  /** Why the file can't be used; undefined: it can again. What was last good stays in force. */
  readonly onProblem: (text: string | undefined) => void
}

/**
 * A nodes file, watched: the folder is, as whoever replaces a file atomically leaves a watch of the
 * file itself on the old one. A ConfigMap's folder is switched by a symbolic link within it.
 */
export class NodesFileSource {
  readonly #options: NodesFileOptions
  #watcher: FSWatcher | undefined
  #watched: string | undefined
  #cancelSettle: (() => void) | undefined
  #cancelPoll: (() => void) | undefined
  #seen: string | undefined
  #text: string | undefined
  #problem: string | undefined
  #readAt: number | undefined

  constructor(options: NodesFileOptions) {
    this.#options = options
    this.#poll()
  }

  /** When the file was last good and whole; milliseconds of the clock. */
  get readAt(): number | undefined {
    return this.#readAt
  }

  get problem(): string | undefined {
    return this.#problem
  }

  close(): void {
    this.#watcher?.close()
    this.#cancelSettle?.()
    this.#cancelPoll?.()
  }

  #poll(): void {
    this.#watchFolder()
    this.#readIfChanged()
    this.#cancelPoll = this.#options.clock.after(pollMilliseconds, () => this.#poll())
  }

  /** Anew if the folder is another one than that which is watched. */
  #watchFolder(): void {
    const folder = dirname(this.#options.path)
    const stamp = stampOf(folder)
    if (stamp?.identity === this.#watched) return
    this.#watcher?.close()
    this.#watcher = undefined
    this.#watched = undefined
    if (!stamp) return
    try {
      this.#watcher = watch(folder, () => this.#settle())
      this.#watcher.on('error', () => this.#watcher?.close())
      this.#watched = stamp.identity
    } catch {
      // Out of inotify watches, say: polling goes on, and tries this again.
    }
  }

  #settle(): void {
    this.#cancelSettle?.()
    this.#cancelSettle = this.#options.clock.after(settleMilliseconds, () => this.#readIfChanged())
  }

  #readIfChanged(): void {
    const stamp = stampOf(this.#options.path)
    const seen = stamp ? `${stamp.identity} ${stamp.content}` : 'absent'
    if (seen === this.#seen) {
      if (this.#problem === undefined) this.#readAt = this.#options.clock.now()
      return
    }
    this.#seen = seen
    this.#read()
  }

  #read(): void {
    const { path, clock, onNews } = this.#options
    try {
      const text = readText(path)
      const isSame = text === this.#text && this.#problem === undefined
      const news = isSame ? undefined : newsOf(text)
      this.#readAt = clock.now()
      if (!news) return
      this.#text = text
      this.#tell(undefined)
      onNews(news)
    } catch (refusal) {
      if (!(refusal instanceof FileRefusal)) throw refusal
      this.#tell(`Cannot use ${path}: ${refusal.message}`)
    }
  }

  #tell(problem: string | undefined): void {
    if (problem === this.#problem) return
    this.#problem = problem
    this.#options.onProblem(problem)
  }
}

class FileRefusal extends Error {
  override name = 'FileRefusal'
}

function readText(path: string): string {
  try {
    const { size } = statSync(path)
    if (size <= fileBytesMax) return readFileSync(path, 'utf8')
    throw new Error(`${size} bytes, ${fileBytesMax} at most`)
  } catch (cause) {
    throw new FileRefusal((cause as Error).message, { cause })
  }
}

function newsOf(text: string): NodeNews {
  const file = parseNodesFile(yamlOf(text))
  if (file.kind === 'nodes') return { kind: 'all', nodes: file.nodes }
  throw new FileRefusal(file.problems.map(explainFileProblem).join('; '))
}

function yamlOf(text: string): unknown {
  try {
    return parse(text)
  } catch (cause) {
    throw new FileRefusal((cause as Error).message.split('\n')[0], { cause })
  }
}

type Stamp = { readonly identity: string; readonly content: string }

/** Through symbolic links: what they lead to is what counts. */
function stampOf(path: string): Stamp | undefined {
  try {
    const { dev, ino, mtimeNs, ctimeNs, size } = statSync(path, { bigint: true })
    return { identity: `${dev} ${ino}`, content: `${mtimeNs} ${ctimeNs} ${size}` }
  } catch {
    return undefined
  }
}
