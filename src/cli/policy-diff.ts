import { changesBetween, type Flow } from '../policy/matrix.ts'
import { aboutNoRoot, aboutSources, clustersOf, comparedOptions } from './cluster-source.ts'
import { type Command, jsonOption } from './command.ts'
import { namespaceOption, scopeOf } from './matrix-scope.ts'
import { formatColumns, paint } from './table.ts'

export const policyDiff: Command = {
  name: 'policy diff',
  summary: 'Show which connections a change of policies opens and closes',
  about: [
    ...aboutSources,
    aboutNoRoot,
    '',
    'A is before, B is after: files each, or one of them the word "cluster". Where the cluster',
    'is read, files lie over it. Exit code 1: a connection is opened or closed.',
  ],
  operands: [
    { name: 'A', need: 'needed' },
    { name: 'B', need: 'needed' },
  ],
  options: { ...comparedOptions, namespace: namespaceOption, json: jsonOption },
  run: async (desk) => {
    const [before, after] = await clustersOf(desk.operands, desk)
    if (!before || !after) throw new Error('Cannot compare without two clusters')
    const { opened, closed } = changesBetween(before, after, scopeOf([before, after], desk))
    if (desk.values.json === true) desk.print(`${JSON.stringify({ opened, closed })}\n`)
    else {
      const lines = formatColumns([...rowsOf(opened, '+'), ...rowsOf(closed, '-')])
      const painted = lines.replaceAll(/^[+-].*$/gm, (line) =>
        paint(line, line.startsWith('+') ? 'green' : 'red', desk),
      )
      desk.print(`${painted}${opened.length} opened, ${closed.length} closed\n`)
    }
    return opened.length + closed.length === 0 ? 0 : 1
  },
}

const rowsOf = (flows: readonly Flow[], sign: string): readonly (readonly string[])[] =>
  flows.map(({ from, to, protocol, port }) => [sign, from, '->', to, `${protocol}/${port}`])
