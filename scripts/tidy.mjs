// @ts-check
// The laws of the text, for every file of ours: what a formatter and a linter do not judge.
//
//   node scripts/tidy.mjs    prints every breach and what comes near, exits 1 for a breach
import { globSync, readFileSync, statSync } from 'node:fs'
import { posix } from 'node:path'
import { breachesOfCode } from './tidy-code.mjs'

/**
 * @typedef {Readonly<{ file: string, text: string, executable: boolean }>} TextFile
 * @typedef {Readonly<{ line: number, law: string, remedy: string }>} Breach
 */

export const columnsMax = 100
/** A file of src/ is one idea; from here on it is two. */
export const sourceLinesMax = 300
const sourceLinesNear = 270

/** Words that name nothing, as (parts of) file names, with what to write instead. */
const bannedNames = new Map([
  ['util', 'the noun that it works on'],
  ['utils', 'the noun that it works on'],
  ['helper', 'the noun that it works on'],
  ['helpers', 'the noun that it works on'],
  ['common', 'the room below that both import'],
  ['misc', 'one file per noun'],
  ['manager', 'what it does: run, watch, lease'],
])

// Words that this file must hold to find them are written in two pieces, so that it passes itself.
const leftOver = new RegExp(
  `\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].join('|')})\\b`,
)
/** Home folders and the like: a path that exists on the machine of one developer only. */
const machinePath = /(?<![\w.~-])\/(home|Users|root)\/[\w.@-]/
const conflict = /^(<{7}|>{7}|\|{7}) |^={7}$/
/** Invisible or reordering: NBSP, zero-width, bidi controls, BOM. A reader can't see them. */
const invisible = /[\u00a0\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/

/**
 * Every breach of one file.
 * @param {TextFile} textFile
 * @returns {readonly Breach[]}
 */
export function breachesOf(textFile) {
  const { file, text } = textFile
  const lines = text.split('\n')
  return [
    ...nameBreaches(file),
    ...modeBreaches(textFile),
    ...lines.flatMap((line, index) => lineBreaches(file, line, index + 1)),
    ...endBreaches(lines),
    ...lengthBreaches(file, lines),
    ...(/\.[mc]?[jt]s$/.test(file) ? breachesOfCode(file, text) : []),
  ]
}

/**
 * @param {string} file
 * @returns {readonly Breach[]}
 */
function nameBreaches(file) {
  const words = file.split(/[/.-]/)
  return words.flatMap((word) => {
    const instead = bannedNames.get(word)
    return instead === undefined
      ? []
      : [{ line: 1, law: `"${word}" in a file name`, remedy: `name it after ${instead}` }]
  })
}

/**
 * @param {TextFile} textFile
 * @returns {readonly Breach[]}
 */
function modeBreaches({ text, executable }) {
  const isScript = text.startsWith('#!')
  if (isScript === executable) return []
  return isScript
    ? [{ line: 1, law: 'a script that is not executable', remedy: 'chmod +x' }]
    : [{ line: 1, law: 'executable without #!', remedy: 'chmod -x, or name the interpreter' }]
}

/**
 * @param {string} file
 * @param {string} line
 * @param {number} number
 * @returns {readonly Breach[]}
 */
function lineBreaches(file, line, number) {
  /** @type {Breach[]} */
  const found = []
  const add = (/** @type {string} */ law, /** @type {string} */ remedy) =>
    found.push({ line: number, law, remedy })
  if (conflict.test(line)) add('conflict marker', 'merge it')
  if (machinePath.test(line)) add("a path of one developer's machine", 'a path from the root')
  if (invisible.test(line)) add('an invisible character', 'write \\u…')
  if (/\r$/.test(line)) add('CRLF', 'end lines with LF')
  else if (/[ \t]$/.test(line)) add('trailing blank', 'remove it')
  if (file === 'package-lock.json' && /"resolved": "https?:/.test(line)) {
    add('an address of a registry', 'npm install with omit-lockfile-registry-resolved')
  }
  if (leftOver.test(line) && !/#\d+/.test(line)) add('unfinished, and no issue', 'add its #number')
  if (isColumned(file) && [...line].length > columnsMax && !isOneWord(line)) {
    add(`${[...line].length} columns`, `${columnsMax} at most`)
  }
  return found
}

/** A row of a Markdown table, a text in JSON, Go's requirements and checksums can't be broken. */
const isColumned = (/** @type {string} */ file) => !/\.(md|json|mod|sum)$/.test(file)
/** Nothing can be broken off an address or a hash. */
const isOneWord = (/** @type {string} */ line) => /^\W*\S{80,}$/.test(line)

/**
 * @param {readonly string[]} lines
 * @returns {readonly Breach[]}
 */
function endBreaches(lines) {
  const isEmpty = lines.length === 1 && lines[0] === ''
  if (isEmpty) return []
  const line = lines.length
  if (lines.at(-1) !== '') return [{ line, law: 'no newline at the end', remedy: 'add one' }]
  if (lines.at(-2) === '') return [{ line, law: 'blank lines at the end', remedy: 'remove them' }]
  return []
}

/**
 * @param {string} file
 * @param {readonly string[]} lines
 * @returns {readonly Breach[]}
 */
function lengthBreaches(file, lines) {
  const count = lines.length - 1
  if (!hasLengthLaw(file) || count <= sourceLinesMax) return []
  return [{ line: count, law: `${count} lines`, remedy: `${sourceLinesMax} at most: split it` }]
}

/** Tables of constants and generated files are as long as they are; src/ proper is not. */
const hasLengthLaw = (/** @type {string} */ file) => /^src\/.*\.(ts|c|h)$/.test(file)

/**
 * @param {TextFile} textFile
 * @returns {boolean} whether it will soon be too long
 */
export function isNearLimit({ file, text }) {
  const count = text.split('\n').length - 1
  return hasLengthLaw(file) && count >= sourceLinesNear && count <= sourceLinesMax
}

/** Recorded bytes and what the build writes are not ours to format. */
const isExempt = (/** @type {string} */ path) =>
  /(^|\/)(node_modules|dist|\.git|\.tap|golden|generated)(\/|$)/.test(path)

/** @returns {readonly TextFile[]} */
function readFiles() {
  const found = globSync('**/*', { withFileTypes: true, exclude: isExcluded })
  const hidden = globSync(['.*', '.ci/*'], { withFileTypes: true, exclude: isExcluded })
  return [...found, ...hidden]
    .filter((entry) => entry.isFile())
    .map((entry) => posix.join(posix.relative(process.cwd(), entry.parentPath), entry.name))
    .filter((path) => !isExempt(path))
    .sort()
    .flatMap((path) => {
      const bytes = readFileSync(path)
      if (bytes.includes(0)) return [] // not text
      const executable = (statSync(path).mode & 0o111) !== 0
      return [{ file: path, text: bytes.toString('utf8'), executable }]
    })
}

const isExcluded = (/** @type {import('node:fs').Dirent} */ entry) => isExempt(entry.name)

if (import.meta.main) {
  const files = readFiles()
  for (const textFile of files) {
    for (const { line, law, remedy } of breachesOf(textFile)) {
      console.log(`${textFile.file}:${line}: ${law}: ${remedy}`)
      process.exitCode = 1
    }
    if (isNearLimit(textFile)) console.log(`${textFile.file}: near ${sourceLinesMax} lines`)
  }
}
