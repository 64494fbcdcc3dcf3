/** What a cell says about Tulle. */
export type Tone = 'plain' | 'good' | 'bad' | 'dim'

export type Cell = { readonly text: string; readonly tone: Tone }

export type Table = {
  readonly title: string
  /** The first column is to the left, the others to the right. */
  readonly columns: readonly string[]
  readonly rows: readonly (readonly Cell[])[]
  readonly notes: readonly string[]
}

/** Colours text for a terminal, or leaves it as it is. */
export type Paint = (style: Tone | 'strong', text: string) => string

export const plainPaint: Paint = (_style, text) => text

/** SGR codes of ECMA-48 that every terminal knows. */
const codes = { strong: '1', good: '32', bad: '31', dim: '2', plain: '' } as const

export const colourPaint: Paint = (style, text) =>
  style === 'plain' || text === '' ? text : `\u001b[${codes[style]}m${text}\u001b[0m`

export const cell = (text: string, tone: Tone = 'plain'): Cell => ({ text, tone })

/** Title, header, rows and notes; columns as wide as their widest text, two blanks between. */
export function formatTable(table: Table, paint: Paint): string {
  const widths = table.columns.map((column, place) =>
    Math.max(widthOf(column), ...table.rows.map((row) => widthOf(row[place]?.text ?? ''))),
  )
  const line = (cells: readonly { readonly text: string; readonly style: Tone | 'strong' }[]) =>
    cells
      .map(({ text, style }, place) => {
        const blanks = ' '.repeat(widths[place]! - widthOf(text))
        return place === 0 ? paint(style, text) + blanks : blanks + paint(style, text)
      })
      .join('  ')
      .trimEnd()
  return [
    paint('strong', table.title),
    line(table.columns.map((text) => ({ text, style: 'dim' }))),
    ...table.rows.map((row) => line(row.map(({ text, tone }) => ({ text, style: tone })))),
    ...table.notes.map((note) => paint('dim', `  ${note}`)),
    '',
  ].join('\n')
}

/** Code points; all our signs (÷ × ≤ …) are one column wide. */
const widthOf = (text: string): number => [...text].length

/** Three digits that matter: 0.78, 28.3, 1,846. */
export function formatMs(ms: number): string {
  if (ms >= 1000) return Math.round(ms).toLocaleString('en-GB')
  if (ms >= 100) return ms.toFixed(0)
  return ms.toFixed(ms >= 10 ? 1 : 2)
}

/** 0.016×, 0.83×, 26.8×, 3,130×. */
export function formatRatio(ratio: number): string {
  if (ratio >= 100) return `${Math.round(ratio).toLocaleString('en-GB')}×`
  return `${ratio.toFixed(ratio >= 10 ? 1 : ratio >= 0.1 ? 2 : 3)}×`
}
