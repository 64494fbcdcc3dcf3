import { writeSync } from 'node:fs'
import { getAsset, getRawAsset } from 'node:sea'
import { Script } from 'node:vm'

// The executable's first lines: who is asked for decides which asset is compiled, and the others
// cost nothing. Each asset comes with V8's code cache, made by the build after a run of the same
// verb, so that even lazy functions need no parsing.

declare const TULLE_VERSION: string

type PluginModule = { exports: { main?: () => () => never } }

function runPlugin(verb: string): never {
  const source = getAsset('plugin.js', 'latin1')
  const script = new Script(`(function(exports,require,module){${source}\n})`, {
    filename: 'plugin.js',
    ...cacheOf(verb),
  })
  const module: PluginModule = { exports: {} }
  const load = script.runInThisContext() as (...words: unknown[]) => void
  load(module.exports, require, module)
  const end = module.exports.main?.()
  afterRun(script)
  if (!end) throw new Error('Cannot run the plugin: its asset has no main')
  return end()
}

/** A verb that no cache was made for is compiled from source: slower, no less right. */
function cacheOf(verb: string): { cachedData?: Buffer } {
  try {
    return { cachedData: Buffer.from(getRawAsset(`plugin.${verb}.cache`) as ArrayBuffer) }
  } catch {
    return {}
  }
}

/**
 * Replaced in the build's own stage executable, which keeps the code cache; nothing in the real
 * one.
 */
declare const TULLE_CACHE_FILE: string | undefined
function afterRun(script: Script): void {
  if (TULLE_CACHE_FILE === undefined) return
  const { writeFileSync } = require('node:fs') as typeof import('node:fs')
  writeFileSync(process.env[TULLE_CACHE_FILE] ?? '', script.createCachedData())
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
if (verb) runPlugin(verb)
else runCommand(process.argv.slice(2))
