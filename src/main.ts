import { writeSync } from 'node:fs'
import { getAsset, getRawAsset } from 'node:sea'
import { Script } from 'node:vm'
import { code, formatFault } from './cni/fault.ts'
import { formatVersions, newestVersion } from './cni/version.ts'
import { loadNative, type Native } from './kernel/native.ts'
import { print, readInput } from './plugin/streams.ts'

// The executable's first lines: who is asked for decides which asset is compiled, and the others
// cost nothing. Each asset comes with V8's code cache, made by the build after a run of the same
// verb, so that even lazy functions need no parsing.

declare const TULLE_VERSION: string

type Run = (native: Native) => 0 | 1

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
  const script = new Script(getAsset(`plugin.${verb}.js`, 'latin1'), {
    filename: `plugin.${verb}.js`,
    ...cacheOf(verb),
  })
  const module: { exports: { main?: Run } } = { exports: {} }
  const load = script.runInThisContext() as (...words: unknown[]) => void
  load(module.exports, require, module)
  const number = module.exports.main?.(native) ?? 1
  keepCache(script)
  return number
}

/** A verb that no cache was made for is compiled from source: slower, no less right. */
function cacheOf(verb: string): { cachedData?: Buffer } {
  try {
    return { cachedData: Buffer.from(getRawAsset(`plugin.${verb}.cache`) as ArrayBuffer) }
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
  if (words.length === 0) writeSync(2, `CNI tulle plugin v${TULLE_VERSION} (CNI 0.1.0 … 1.1.0)\n`)
  else if (words[0] === '--version') writeSync(1, `tulle ${TULLE_VERSION}\n`)
  else {
    writeSync(
      2,
      `Cannot run "${words.join(' ')}": there is "tulle --version"; verbs come by CNI_COMMAND\n`,
    )
    process.exitCode = 1
  }
}

const verb = process.env.CNI_COMMAND
if (verb) answerCall(verb)
else runCommand(process.argv.slice(2))
