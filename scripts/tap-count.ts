import { inspect } from 'node:util'
import { Parser, type Result } from 'tap-parser'

export type Failure = { readonly name: string; readonly details: string }
export type Skip = { readonly name: string; readonly reason: string }
export type FileDone = {
  readonly file: string
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  readonly ms: number
  /** What the file printed that is not TAP. */
  readonly noise: string
}
export type TapCount = {
  readonly passed: number
  readonly failures: readonly Failure[]
  readonly skips: readonly Skip[]
}

type Scope = {
  readonly name: string
  /** Tests counted in here, at any depth, by their outcome. */
  passed: number
  failed: number
  skipped: number
  /** Failed assertions that stand directly in here. */
  readonly refused: Result[]
}

type Seen = {
  readonly point: Result
  /** Where the point stands. */
  readonly scope: Scope
  /** What was seen in the subtest that the point closes, if it closes one. */
  readonly inner: Scope | undefined
  readonly parents: readonly string[]
}

/**
 * Counts the tests of one `tap -R tap` run. A test is a subtest without subtests of its own, or a
 * point that stands in a file outside any subtest; the assertions inside a test are not counted.
 * What fails outside any test (a parent's own assertion, a crash, a timeout of the file) counts as
 * one failure each, so that a run that is not ok never has zero. A test marked as still to be
 * written counts as skipped.
 */
export class TapCounter {
  readonly #parser = new Parser()
  readonly #failures: Failure[] = []
  readonly #skips: Skip[] = []
  readonly #root: Scope
  readonly #fileDone: (file: FileDone) => void
  #noise = ''

  constructor(fileDone: (file: FileDone) => void) {
    this.#fileDone = fileDone
    this.#root = this.#watch(this.#parser, '', [])
    // The parser hands everything that is no TAP to its root, indented by the depth of its place;
    // tap writes one file after the other, also when it runs them at once.
    this.#parser.on('extra', (text: string) => {
      this.#noise += text.replace(/^ {4}/gm, '')
    })
  }

  write(text: string): void {
    this.#parser.write(text)
  }

  /** Ends the stream; a bail-out counts as a failure. */
  close(): TapCount {
    this.#parser.end()
    const bailed = this.#parser.bailedOut
    if (bailed !== false) this.#failures.push({ name: `bail-out: ${bailed}`, details: '' })
    return { passed: this.#root.passed, failures: this.#failures, skips: this.#skips }
  }

  #watch(parser: Parser, name: string, parents: readonly string[]): Scope {
    const scope: Scope = { name, passed: 0, failed: 0, skipped: 0, refused: [] }
    let latest: Scope | undefined
    parser.on('child', (child: Parser) => {
      latest = this.#watch(child, child.name, [...parents, child.name])
    })
    parser.on('assert', (point: Result) => {
      const inner = latest
      latest = undefined
      this.#settle({ point, scope, inner, parents })
      if (parents.length > 0) return
      this.#fileDone({ ...fileOf(point, inner), noise: this.#noise })
      this.#noise = ''
    })
    return scope
  }

  /** Counts one point, and lifts the counts of the subtest that it closes. */
  #settle(seen: Seen): void {
    const { point, scope, inner, parents } = seen
    const name = [...parents, inner?.name ?? point.name].join(' > ')
    if (inner !== undefined) {
      scope.passed += inner.passed
      scope.failed += inner.failed
      scope.skipped += inner.skipped
    }
    if (point.skip || point.todo) {
      this.#skips.push({ name, reason: skipReason(point) })
      scope.skipped += 1
      return
    }
    const isAssertion = inner === undefined && parents.length > 1
    if (isAssertion) {
      if (!point.ok) scope.refused.push(point)
      return
    }
    const isParent = inner !== undefined && inner.passed + inner.failed + inner.skipped > 0
    if (point.ok) {
      if (!isParent) scope.passed += 1
      return
    }
    if (isParent && inner.failed > 0 && inner.refused.length === 0) return
    const points = inner?.refused.length ? inner.refused : [point]
    this.#failures.push({ name, details: points.map(describe).join('') })
    scope.failed += 1
  }
}

function skipReason(point: Result): string {
  if (typeof point.skip === 'string') return point.skip
  if (typeof point.todo === 'string') return `todo: ${point.todo}`
  return point.todo ? 'todo' : 'no reason given'
}

function fileOf(point: Result, inner: Scope | undefined): Omit<FileDone, 'noise'> {
  const alone = { passed: 0, failed: point.ok ? 0 : 1, skipped: point.skip ? 1 : 0 }
  const { passed, failed, skipped } = inner ?? alone
  const file = inner?.name ?? point.name
  // A file that breaks outside its tests has no failed test in it, and is not ok all the same.
  return {
    file,
    passed,
    failed: point.ok ? failed : Math.max(failed, 1),
    skipped,
    ms: point.time ?? 0,
  }
}

/** A failed point as the reader needs it: its name, then every diagnostic that tap gave. */
function describe(point: Result): string {
  const lines = [`not ok: ${point.name}`]
  const diagnostics = Object.entries((point.diag ?? {}) as Record<string, unknown>)
  for (const [key, value] of diagnostics) {
    const text = typeof value === 'string' ? value.trimEnd() : inspect(value, { depth: 9 })
    if (text.includes('\n')) lines.push(`${key}:`, ...text.split('\n').map((line) => `  ${line}`))
    else lines.push(`${key}: ${text}`)
  }
  return lines.map((line) => `    ${line}\n`).join('')
}
