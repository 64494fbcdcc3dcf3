import { writeSync } from 'node:fs'
import { basename } from 'node:path/posix'
import { getAsset, getRawAsset } from 'node:sea'
import { Script } from 'node:vm'
import type { WorkerSource } from './agent/call-worker.ts'
import type { AgentCall } from './agent/main.ts'
import type { ToolCall } from './cli/command.ts'
import { code, formatFault } from './cni/fault.ts'
import { formatVersions, newestVersion } from './cni/version.ts'
import { loadNative, type Native } from './kernel/native.ts'
import type { Started } from './plugin/call.ts'
import { type PluginName, pluginNameOf, pluginNames } from './plugin/names.ts'
import { print, readInput } from './plugin/streams.ts'
import type { WorkerData } from './plugin/worker/main-worker.ts'

// The executable's first lines: who is asked for decides which asset is compiled, and the others
// cost nothing. Each asset comes with V8's code cache, made by the build after a run of the same
// verb, so that even lazy functions need no parsing.

declare const TULLE_VERSION: string
/** `<version>+<12 hex digits>` of all that this executable is made of (scripts/build-id.mjs). */
declare const TULLE_BUILD: string

type Run = (started: Started) => 0 | 1

/** What each name runs: of an asset of one verb, or of all. */
const assetOf: Readonly<Record<PluginName, string>> = {
  tulle: 'plugin',
  bridge: 'plugin',
  ptp: 'plugin',
  'host-local': 'ipam',
  static: 'ipam',
  flannel: 'flannel',
  portmap: 'chained',
  bandwidth: 'chained',
  tuning: 'chained',
  firewall: 'chained',
  loopback: 'loopback',
}

/** The name that we are called by. */
const plugin = pluginNameOf(basename(process.argv0))

/** VERSION needs no configuration and no kernel, and runtimes ask for it at every turn. */
function answerCall(verb: string): never {
  const native = nativeOrFault()
  if (verb === 'VERSION') {
    print(formatVersions(readInput()))
    return native.exit(0)
  }
  return native.exit(runPlugin(verb, native))
}

function nativeOrFault(): Native {
  try {
    return loadNative()
  } catch (refusal) {
    const details = refusal instanceof Error ? refusal.message : String(refusal)
    const fault = { code: code.io, message: 'the plugin cannot start on this node', details }
    writeSync(1, `${formatFault(newestVersion, fault)}\n`)
    return process.exit(1)
  }
}

/** An unknown verb is any plugin's to refuse: the environment is read first. */
const verbs = ['ADD', 'DEL', 'CHECK', 'STATUS', 'GC']

function runPlugin(asked: string, native: Native): 0 | 1 {
  const verb = verbs.includes(asked) ? asked : 'STATUS'
  const { exported, script } = load<Run>(
    assetOf[plugin] === 'plugin' ? `plugin.${verb}` : assetOf[plugin],
  )
  const number = exported.main?.({ native, plugin }) ?? 1
  keepCache(script)
  return number
}

type Loaded<Main> = { readonly exported: { readonly main?: Main }; readonly script: Script }

function load<Main>(name: string): Loaded<Main> {
  const filename = `${name}.js`
  const script = new Script(getAsset(filename, 'latin1'), { filename, ...cacheOf(name) })
  const module: { exports: { main?: Main } } = { exports: {} }
  const fill = script.runInThisContext() as (...words: unknown[]) => void
  fill(module.exports, require, module)
  return { exported: module.exports, script }
}

/** An asset that no cache was made for is compiled from source: slower, no less right. */
function cacheOf(name: string): { cachedData?: Buffer } {
  try {
    return { cachedData: Buffer.from(getRawAsset(`${name}.cache`) as ArrayBuffer) }
  } catch {
    return {}
  }
}

/** Set in the build's own stage executable, which makes the code caches; not in the real one. */
declare const TULLE_CACHE_VARIABLE: string | undefined
function keepCache(script: Script): void {
  if (TULLE_CACHE_VARIABLE === undefined) return
  const { writeFileSync } = require('node:fs') as typeof import('node:fs')
  writeFileSync(process.env[TULLE_CACHE_VARIABLE] ?? '', script.createCachedData())
}

function runCommand(words: readonly string[]): void {
  if (words.length === 0) writeSync(2, aboutLine())
  else if (words[0] === '--version') writeSync(1, `tulle ${TULLE_VERSION}\n`)
  else if (words[0] === 'agent') runAgent(words.slice(1))
  else void runTool(words)
}

/** Goes on after this returns, until it is told to stop. */
function runAgent(words: readonly string[]): void {
  const own = { version: TULLE_VERSION, build: TULLE_BUILD }
  const worker = (): WorkerSource => ({
    source: getAsset('worker.js', 'latin1'),
    build: TULLE_BUILD,
  })
  load<Agent>('agent').exported.main?.({ ...own, loadNative, worker, words })
}
type Agent = (called: AgentCall) => void

/** The operator's tool. It is told the names, as this is the one place that has the list. */
async function runTool(words: readonly string[]): Promise<void> {
  const serveCalls = (socketPath: string, isUnrehearsed: boolean): void =>
    load<Worker>('worker').exported.main?.({ socketPath, build: TULLE_BUILD, isUnrehearsed })
  const node = { loadNative, serveCalls, pluginNames, version: TULLE_VERSION }
  process.exitCode = (await load<Tool>('cli').exported.main?.({ ...node, words })) ?? 1
}
type Tool = (called: ToolCall) => Promise<number>
type Worker = (data: WorkerData) => void

/**
 * nerdctl reads the version out of firewall's line, and asks it for ingressPolicy from 1.7.1 on:
 * under a reference plugin's name it is that plugin's version whose keys we read.
 */
const referenceVersion = '1.9.1'
const aboutLine = (): string =>
  plugin === 'tulle'
    ? `CNI tulle plugin v${TULLE_VERSION} (CNI 0.1.0 … 1.1.0)\n`
    : `CNI ${plugin} plugin v${referenceVersion} (Tulle ${TULLE_VERSION})\n`

const verb = process.env.CNI_COMMAND
if (verb) answerCall(verb)
else runCommand(process.argv.slice(2))
