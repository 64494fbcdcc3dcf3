import { appendFileSync, mkdirSync, readdirSync, realpathSync, symlinkSync } from 'node:fs'
import { basename, join } from 'node:path'
import { CallServer } from './call-server.ts'
import { executablePath, LauncherFile, launchersFolder } from './launcher-file.ts'
import type { Netns } from './netns.ts'

// The same suites through the launcher: TULLE_WARM=up serves the calls of each node by a server of
// its own, and the others show that nothing depends on one.

const warmths = ['up', 'down', 'hung', 'other-build'] as const
export type Warmth = (typeof warmths)[number]

/** Undefined: calls start the executable, and no launcher is there. */
export const warmth = warmths.find((one) => one === process.env.TULLE_WARM)
if (process.env.TULLE_WARM && !warmth)
  throw new Error(`TULLE_WARM is none of ${warmths.join(', ')}: ${process.env.TULLE_WARM}`)

/** What takes a node's calls. */
class WarmNode {
  readonly file: LauncherFile
  readonly #server: CallServer | undefined
  #callsNow = 0

  constructor(node: Netns, kind: Warmth) {
    this.file = new LauncherFile(kind === 'other-build' ? 'other' : 'own')
    if (kind !== 'down') this.#server = new CallServer({ node, folder: this.file.folder })
    node.beforeClose(() => this.#close(node))
  }

  /** A name of the executable itself, for who looks at the process. */
  cold(name: string): string {
    const folder = join(this.file.folder, 'cold')
    mkdirSync(folder, { recursive: true })
    const path = join(folder, name)
    if (!readdirSync(folder).includes(name)) symlinkSync(executablePath, path)
    return path
  }

  begin(): void {
    if (warmth === 'hung' && this.#callsNow === 0) this.#server?.stop()
    this.#callsNow += 1
  }

  end(): void {
    this.#callsNow -= 1
    if (warmth === 'hung' && this.#callsNow === 0) this.#server?.proceed()
  }

  #close(node: Netns): void {
    nodes.delete(node.name)
    for (const line of this.file.started()) count(tally.started, line)
    // A call must not end it, whatever it was.
    if (this.#server && !this.#server.isAlive) tally.dead += 1
    this.#server?.close()
  }
}

const nodes = new Map<string, WarmNode>()

function warmNodeOf(node: Netns): WarmNode | undefined {
  if (!warmth) return undefined
  const there = nodes.get(node.name) ?? new WarmNode(node, warmth)
  nodes.set(node.name, there)
  return there
}

/** What a runtime of that node starts, by whatever name. */
export const executableOf = (node: Netns): string => warmNodeOf(node)?.file.path ?? executablePath

export type Wrapped = {
  readonly node: Netns
  readonly plugin: string
  /** Words before the plugin. */
  readonly wrapper: readonly string[]
}

/** The words to start, between the beginning and the end of the call. */
export type Begun = { readonly words: readonly string[]; readonly end: () => void }

export function beginCall({ node, plugin, wrapper }: Wrapped): Begun {
  const warm = isLauncher(plugin) ? warmNodeOf(node) : undefined
  if (!warm) return { words: [...wrapper, plugin], end: () => undefined }
  const [wrap = ''] = wrapper
  if (lookers.includes(basename(wrap))) {
    count(tally.cold, basename(wrap))
    return { words: [...wrapper, warm.cold(basename(plugin))], end: () => undefined }
  }
  tally.calls += 1
  warm.begin()
  return { words: [...wrapper, plugin], end: () => warm.end() }
}

/** Wrappers that trace the process or mount something for it: no server would know of that. */
const lookers: readonly string[] = ['strace', 'unshare', 'nsenter']

function isLauncher(plugin: string): boolean {
  try {
    return warmth !== undefined && realpathSync(plugin).startsWith(launchersFolder())
  } catch {
    return false
  }
}

/** What the calls of this test file were, for the report that TULLE_WARM_REPORT names. */
const tally = { calls: 0, dead: 0, cold: {}, started: {} } satisfies Record<string, unknown>
const count = (counts: Record<string, number>, what: string): void => {
  counts[what] = (counts[what] ?? 0) + 1
}

if (warmth)
  process.on('exit', () => {
    const report = process.env.TULLE_WARM_REPORT
    const line = JSON.stringify({ file: basename(process.argv[1] ?? ''), warmth, ...tally })
    if (report) appendFileSync(report, `${line}\n`)
    if (tally.dead > 0) {
      process.stderr.write(`${tally.dead} servers of calls ended by themselves\n`)
      process.exitCode = 1
    }
  })
