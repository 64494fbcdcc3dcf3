export type Screen = { readonly isTerminal: boolean }

const styles = { bold: [1, 22], red: [31, 39], yellow: [33, 39], green: [32, 39] } as const
export type Style = keyof typeof styles

/** On a terminal; a pipe gets the text alone. Paint what is padded already: escapes have length. */
export function paint(text: string, style: Style, { isTerminal }: Screen): string {
  const [on, off] = styles[style]
  return isTerminal ? `\x1b[${on}m${text}\x1b[${off}m` : text
}

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
  screen: Screen,
): string {
  const [first = '', ...rest] = formatColumns([heading, ...rows]).split('\n')
  return [paint(first, 'bold', screen), ...rest].join('\n')
}
