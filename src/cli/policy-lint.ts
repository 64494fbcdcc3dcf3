import { stringify } from 'yaml'
import { type Finding, lint } from '../policy/lint.ts'
import { aboutSources, clusterOf, sourceOptions } from './cluster-source.ts'
import { type Command, type Desk, jsonOption } from './command.ts'
import { paint } from './table.ts'

export const policyLint: Command = {
  name: 'policy lint',
  summary: 'Tell what policies say that is likely not meant, and what would mend it',
  about: [
    ...aboutSources,
    '',
    'DNS under default deny, selectors and ports that nobody has, empty rules, either-or peers,',
    'rules without effect, namespaces without default deny. Exit code 1: something was found.',
  ],
  options: { ...sourceOptions, json: jsonOption },
  run: async (desk) => {
    const findings = lint(await clusterOf(desk))
    if (desk.values.json === true) desk.print(`${JSON.stringify(findings, undefined, 2)}\n`)
    else desk.print(findings.length === 0 ? 'nothing found\n' : textOf(findings, desk))
    return findings.length === 0 ? 0 : 1
  },
}

function textOf(findings: readonly Finding[], desk: Desk): string {
  const paragraphs = findings.map(({ check, object, path, text, fix }) => {
    const where = path === undefined ? object : `${object} ${path}`
    const line = `${paint(check, 'yellow', desk)}: ${where} ${text}\n`
    return fix ? `${line}\n${stringify(fix).replaceAll(/^/gm, '    ').trimEnd()}\n\n` : line
  })
  return paragraphs.join('').replace(/\n\n$/, '\n')
}
