import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Test } from 'tap'

const fileOf = (name: string): URL => new URL(`../golden/${name}.txt`, import.meta.url)

const note =
  '# To be read by people when it changes. TULLE_GOLDEN=write npx tap <test> makes it again.\n'

/** Compares with test/golden/<name>.txt, line by line. */
export function matchesGolden(t: Test, name: string, lines: readonly string[]): void {
  const file = fileOf(name)
  const text = note + lines.map((line) => `${line}\n`).join('')
  if (process.env.TULLE_GOLDEN === 'write') writeFileSync(file, text)
  const golden = existsSync(file) ? readFileSync(file, 'utf8') : ''
  t.strictSame(text.split('\n'), golden.split('\n'), `test/golden/${name}.txt`)
}
