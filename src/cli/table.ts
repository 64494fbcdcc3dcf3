const bold = (text: string): string => `\x1b[1m${text}\x1b[22m`

const widthsOf = (rows: readonly (readonly string[])[]): readonly number[] =>
  (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)))

/** Rows as columns, two blanks apart, each line ended; nothing behind the last column. */
export function formatColumns(rows: readonly (readonly string[])[]): string {
  const widths = widthsOf(rows)
  const lineOf = (row: readonly string[]): string =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')
  return rows.map((row) => `${lineOf(row).trimEnd()}\n`).join('')
}

/** As `formatColumns`, with a heading: bold on a terminal, plain in a pipe. */
export function formatTable(
  heading: readonly string[],
  rows: readonly (readonly string[])[],
  { isTerminal }: { readonly isTerminal: boolean },
): string {
  const [first = '', ...rest] = formatColumns([heading, ...rows]).split('\n')
  return [isTerminal ? bold(first) : first, ...rest].join('\n')
}
