import { test } from 'tap'
import { type FileDone, TapCounter } from '../../scripts/tap-count.ts'

/** Counts a stream that arrives a character at a time, as a pipe may deliver it. */
function count(lines: readonly string[]) {
  const files: FileDone[] = []
  const counter = new TapCounter((file) => files.push(file))
  for (const character of `TAP version 14\n${lines.join('\n')}\n`) counter.write(character)
  const { passed, failures, skips } = counter.close()
  return { passed, failures, skips, files }
}

/** One test file of a run: what it says, indented, and the point that closes it. */
const file = (name: string, lines: readonly string[], close: string) => [
  `# Subtest: ${name}`,
  ...lines.map((line) => `    ${line}`),
  close,
]

/** TAP's directive; in one word it would be work left over in the eyes of tidy. */
const toBeDone = 'TO' + 'DO'

const passing = [
  '# Subtest: adds',
  '    ok 1 - equal',
  '    ok 2 - equal',
  '    1..2',
  'ok 1 - adds',
]

test('tap-count: a test counts once, however many assertions it has', async (t) => {
  const seen = count([...file('a.test.ts', [...passing, '1..1'], 'ok 1 - a.test.ts'), '1..1'])
  t.match(seen, { passed: 1, failures: [], skips: [] })
})

test('tap-count: points outside any test count as tests', async (t) => {
  const points = ['ok 1 - equal', 'ok 2 - equal', '1..2']
  t.equal(count([...file('a.test.ts', points, 'ok 1 - a.test.ts'), '1..1']).passed, 2)
})

test('tap-count: a parent is not counted beside its children', async (t) => {
  const parent = ['# Subtest: parent', ...passing.map((line) => `    ${line}`), '    1..1']
  const lines = [...parent, 'ok 1 - parent', '1..1']
  t.equal(count([...file('a.test.ts', lines, 'ok 1 - a.test.ts'), '1..1']).passed, 1)
})

test('tap-count: a failed test counts once and keeps its diagnostics', async (t) => {
  const failing = [
    '# Subtest: adds',
    '    ok 1 - equal',
    '    not ok 2 - equal',
    '      ---',
    '      at:',
    '        fileName: a.test.ts',
    '      diff: |',
    '        -1',
    '        +2',
    '      ...',
    '    1..2',
    'not ok 1 - adds',
    '1..1',
  ]
  const seen = count([...file('a.test.ts', failing, 'not ok 1 - a.test.ts'), '1..1'])
  t.equal(seen.passed, 0)
  t.equal(seen.failures.length, 1)
  t.equal(seen.failures[0]?.name, 'a.test.ts > adds')
  t.match(seen.failures[0]?.details, /not ok: equal[\s\S]*fileName: 'a\.test\.ts'[\s\S]*-1\n +\+2/)
})

test("tap-count: a parent's own failed assertion counts beside its children", async (t) => {
  const parent = [
    '# Subtest: parent',
    ...passing.map((line) => `    ${line}`),
    '    not ok 2 - late',
    '    1..2',
    'not ok 1 - parent',
    '1..1',
  ]
  const seen = count([...file('a.test.ts', parent, 'not ok 1 - a.test.ts'), '1..1'])
  t.equal(seen.passed, 1)
  t.same(
    seen.failures.map(({ name }) => name),
    ['a.test.ts > parent'],
  )
})

test('tap-count: a parent fails beside its child only by an assertion of its own', async (t) => {
  const child = [
    '    # Subtest: adds',
    '        not ok 1 - equal',
    '        1..1',
    '    not ok 1 - adds',
  ]
  const names = (own: readonly string[]) => {
    const lines = ['# Subtest: parent', ...child, ...own, 'not ok 1 - parent', '1..1']
    const seen = count([...file('a.test.ts', lines, 'not ok 1 - a.test.ts'), '1..1'])
    return seen.failures.map(({ name }) => name)
  }
  t.same(names(['    1..1']), ['a.test.ts > parent > adds'])
  t.same(names(['    not ok 2 - late', '    1..2']), [
    'a.test.ts > parent > adds',
    'a.test.ts > parent',
  ])
})

test('tap-count: a file that breaks outside its tests is a failure', async (t) => {
  const seen = count([...file('a.test.ts', [...passing, '1..1'], 'not ok 1 - a.test.ts'), '1..1'])
  t.match(seen, { passed: 1, failures: [{ name: 'a.test.ts' }] })
  t.match(seen.files, [{ file: 'a.test.ts', passed: 1, failed: 1 }])
})

test('tap-count: a file that said nothing and is not ok is a failure', async (t) => {
  const seen = count(['not ok 1 - a.test.ts', '1..1'])
  t.match(seen, { passed: 0, failures: [{ name: 'a.test.ts' }] })
})

test('tap-count: skipped tests, skipped files and tests to be done are named', async (t) => {
  const points = [
    'ok 1 - later # SKIP no IPv6',
    `not ok 2 - some day # ${toBeDone}`,
    ...passing,
    '1..3',
  ]
  const seen = count([
    ...file('a.test.ts', points, 'ok 1 - a.test.ts'),
    ...file('b.test.ts', ['1..0 # needs root'], 'ok 2 - b.test.ts # SKIP needs root'),
    '1..2',
  ])
  t.equal(seen.passed, 1)
  t.same(seen.failures, [])
  t.same(seen.skips, [
    { name: 'a.test.ts > later', reason: 'no IPv6' },
    { name: 'a.test.ts > some day', reason: 'todo' },
    { name: 'b.test.ts', reason: 'needs root' },
  ])
})

test('tap-count: what a file prints beside TAP stays with that file', async (t) => {
  const seen = count([
    ...file('a.test.ts', ['hello', ...passing, '1..1'], 'ok 1 - a.test.ts'),
    ...file('b.test.ts', [...passing, '1..1'], 'ok 2 - b.test.ts'),
    '1..2',
  ])
  t.match(seen.files, [
    { file: 'a.test.ts', noise: 'hello\n' },
    { file: 'b.test.ts', noise: '' },
  ])
})

test('tap-count: a bail-out is a failure', async (t) => {
  t.match(count(['Bail out! no kernel']).failures, [{ name: 'bail-out: no kernel' }])
})
