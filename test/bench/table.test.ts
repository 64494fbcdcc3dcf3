import t from 'tap'
import { cell, colourPaint, formatMs, formatRatio, formatTable, plainPaint } from './table.ts'

const table = {
  title: 'Routed',
  columns: ['', 'tulle', 'plugins 1.9.1'],
  rows: [
    [cell('ADD'), cell('24.1'), cell('34.2  0.70×', 'good')],
    [cell('  CPU time', 'dim'), cell('9.00', 'dim'), cell('–', 'dim')],
  ],
  notes: ['a note'],
}

t.test('a table in a pipe is aligned plain text', async (t) =>
  t.equal(
    formatTable(table, plainPaint),
    [
      'Routed',
      '            tulle  plugins 1.9.1',
      'ADD          24.1    34.2  0.70×',
      '  CPU time   9.00              –',
      '  a note',
      '',
    ].join('\n'),
  ),
)

t.test('colours change nothing but the colours', async (t) => {
  const coloured = formatTable(table, colourPaint)
  t.match(coloured, '\u001b[32m34.2  0.70×\u001b[0m')
  const escapes = new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, 'g')
  const bare = coloured.replace(escapes, '').replace(/ +$/gm, '')
  t.equal(bare, formatTable(table, plainPaint))
})

for (const [ms, want] of [
  [0.7812, '0.78'],
  [9.999, '10.00'],
  [28.34, '28.3'],
  [146.7, '147'],
  [1846.2, '1,846'],
] as const)
  t.test(`formatMs: ${ms} is ${want}`, async (t) => t.equal(formatMs(ms), want))

for (const [ratio, want] of [
  [0.0158, '0.016×'],
  [0.8349, '0.83×'],
  [26.81, '26.8×'],
  [3130.3, '3,130×'],
] as const)
  t.test(`formatRatio: ${ratio} is ${want}`, async (t) => t.equal(formatRatio(ratio), want))
