import { test } from 'tap'
import { breachesOf, columnsMax, isNearLimit, sourceLinesMax } from '../../scripts/tidy.mjs'
import { functionLinesMax } from '../../scripts/tidy-code.mjs'

const laws = (file: string, text: string, executable = false) =>
  breachesOf({ file, text, executable }).map(({ law, line }) => `${line}: ${law}`)

const lines = (count: number) => 'a()\n'.repeat(count)
const functionOf = (count: number) => `const f = () => {\n${lines(count - 2)}}\n`

// Words that tidy looks for are put together here: the tests are under its laws too.
const todo = 'TO' + 'DO'
const home = '/ho' + 'me/ann/tulle'
const anything = 'an' + 'y'

for (const row of [
  {
    why: 'a line over the limit',
    file: 'src/a.ts',
    text: `//${' a'.repeat(49)}b\n`,
    want: ['1: 101 columns'],
  },
  { why: 'a trailing blank', file: 'src/a.ts', text: 'a()\nb() \n', want: ['2: trailing blank'] },
  { why: 'CRLF', file: 'src/a.ts', text: 'a()\r\n', want: ['1: CRLF'] },
  {
    why: 'no newline at the end',
    file: 'src/a.ts',
    text: 'a()',
    want: ['1: no newline at the end'],
  },
  {
    why: 'blank lines at the end',
    file: 'src/a.ts',
    text: 'a()\n\n',
    want: ['3: blank lines at the end'],
  },
  {
    why: 'a conflict that was not merged',
    file: 'README.md',
    text: `${'<'.repeat(7)} ours\na\n${'='.repeat(7)}\nb\n${'>'.repeat(7)} theirs\n`,
    want: ['1: conflict marker', '3: conflict marker', '5: conflict marker'],
  },
  {
    why: 'work left over without an issue',
    file: 'src/a.c',
    text: `/* ${todo}: free it */\n`,
    want: ['1: unfinished, and no issue'],
  },
  {
    why: "a path of one developer's machine",
    file: 'README.md',
    text: `see ${home}\n`,
    want: ["1: a path of one developer's machine"],
  },
  {
    why: 'a space that cannot be seen',
    file: 'README.md',
    text: 'a\u00a0b\n',
    want: ['1: an invisible character'],
  },
  {
    why: 'the address of a registry in the lockfile',
    file: 'package-lock.json',
    text: '"resolved": "https://registry.example/a.tgz"\n',
    want: ['1: an address of a registry'],
  },
  {
    why: 'a name that says nothing',
    file: 'src/base/string-utils.ts',
    text: 'a()\n',
    want: ['1: "utils" in a file name'],
  },
  {
    why: 'a folder that says nothing',
    file: 'test/helpers/a.ts',
    text: 'a()\n',
    want: ['1: "helpers" in a file name'],
  },
  {
    why: 'a script that can not be run',
    file: 'scripts/demo',
    text: '#!/bin/sh\n',
    want: ['1: a script that is not executable'],
  },
  {
    why: 'a source that can be run',
    file: 'src/a.ts',
    text: 'a()\n',
    executable: true,
    want: ['1: executable without #!'],
  },
  {
    why: 'a file of src/ over the limit',
    file: 'src/a.ts',
    text: lines(sourceLinesMax + 1),
    want: [`${sourceLinesMax + 1}: ${sourceLinesMax + 1} lines`],
  },
  {
    why: 'a function over one screen',
    file: 'src/a.ts',
    text: `\n${functionOf(functionLinesMax + 1)}`,
    want: [`2: a function of ${functionLinesMax + 1} lines`],
  },
  {
    why: 'a method over one screen',
    file: 'src/a.ts',
    text: `class A {\n  b() {\n${lines(functionLinesMax - 1)}  }\n}\n`,
    want: [`2: a function of ${functionLinesMax + 1} lines`],
  },
  {
    why: 'the type that switches the compiler off',
    file: 'src/a.ts',
    text: `const a = (b: Map<string, ${anything}>) => b\n`,
    want: ['1: the type any'],
  },
  {
    why: 'the same in JSDoc',
    file: 'scripts/a.mjs',
    text: `/** @type {${anything}[]} */\nconst a = []\n`,
    want: ['1: the type any'],
  },
  {
    why: 'a compiler told to be silent',
    file: 'src/a.ts',
    text: `// @ts-${'ignore'}\nb()\n`,
    want: ['1: a silenced compiler'],
  },
  {
    why: 'printing in src/',
    file: 'src/a.ts',
    text: 'console.log(1)\n',
    want: ['1: console.log'],
  },
  { why: 'a debugger', file: 'src/a.ts', text: 'debugger\n', want: ['1: debugger'] },
  {
    why: 'a test that shuts the others out',
    file: 'test/a.test.ts',
    text: `t.only('a', f)\n`,
    want: ['1: t.only'],
  },
])
  test(`tidy: ${row.why} is a breach`, async (t) => {
    t.same(laws(row.file, row.text, row.executable ?? false), row.want)
  })

for (const row of [
  { why: 'a line of the full width', file: 'src/a.ts', text: `//${'a '.repeat(48)}bb\n` },
  {
    why: 'signs outside the first plane, a column each',
    file: 'src/a.ts',
    text: `//${' 𝟙'.repeat(49)}\n`,
  },
  {
    why: 'an address that can not be broken',
    file: 'src/a.ts',
    text: `// https://example.org/${'a'.repeat(columnsMax)}\n`,
  },
  { why: 'a wide row of a table', file: 'README.md', text: `| ${'a '.repeat(99)}|\n` },
  { why: 'work left over with its issue', file: 'src/a.ts', text: `// ${todo}(#12): free it\n` },
  { why: 'the part of a path', file: 'README.md', text: 'https://example.org/home/ann\n' },
  { why: 'a file that is empty', file: 'src/a.ts', text: '' },
  { why: 'a file of src/ at the limit', file: 'src/a.ts', text: lines(sourceLinesMax) },
  { why: 'a long file that is not of src/', file: 'test/a.ts', text: lines(sourceLinesMax + 1) },
  { why: 'a function at the limit', file: 'src/a.ts', text: functionOf(functionLinesMax) },
  { why: 'a type spoken of in a comment', file: 'src/a.ts', text: `// ${anything} address\na()\n` },
  { why: 'printing in a script', file: 'scripts/a.ts', text: 'console.log(1)\n' },
  { why: 'a word that only contains one', file: 'src/base/commonality.ts', text: 'a()\n' },
])
  test(`tidy: ${row.why} is none`, async (t) => {
    t.same(laws(row.file, row.text), [])
  })

test('tidy: a script that can be run is none', async (t) => {
  t.same(laws('scripts/demo', '#!/bin/sh\n', true), [])
})

test('tidy: a file near the limit is named, one over it is a breach instead', async (t) => {
  const near = (count: number) =>
    isNearLimit({ file: 'src/a.ts', text: lines(count), executable: false })
  t.equal(near(sourceLinesMax - 60), false)
  t.equal(near(sourceLinesMax), true)
  t.equal(near(sourceLinesMax + 1), false)
})
