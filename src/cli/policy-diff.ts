import { changesBetween, type Flow } from '../policy/matrix.ts'
import { type Command, jsonOption } from './command.ts'
import { aboutManifests, clusterIn } from './manifests.ts'
import { formatColumns, paint } from './table.ts'

export const policyDiff: Command = {
  name: 'policy diff',
  summary: 'Show which connections a change of manifests opens and closes',
  about: [
    ...aboutManifests,
    '',
    'A is before, B is after. Exit code 1: a connection is opened or closed.',
  ],
  operands: [
    { name: 'A', need: 'needed' },
    { name: 'B', need: 'needed' },
  ],
  options: { json: jsonOption },
  run: (desk) => {
    const [before = '', after = ''] = desk.operands
    const { opened, closed } = changesBetween(clusterIn(before, desk), clusterIn(after, desk))
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
