import { stringify } from 'yaml'
import { type Check, checkNames, type Finding } from '../policy/finding.ts'
import { lintGathered } from '../policy/lint.ts'
import {
  aboutNoRoot,
  aboutSources,
  gatheredOf,
  remarkNotes,
  sourceOptions,
} from './cluster-source.ts'
import { type Command, type Desk, jsonOption, textOf, UsageFault } from './command.ts'
import { paint } from './table.ts'

export const policyLint: Command = {
  name: 'policy lint',
  summary: 'Tell what policies say that is likely not meant, and what would mend it',
  about: [
    ...aboutSources,
    aboutNoRoot,
    '',
    'DNS under default deny, selectors and ports that nobody has, empty rules, either-or peers,',
    'rules without effect, namespaces without default deny, Services that hide their clients,',
    'what Tulle refuses. Exit code 1: something was found.',
  ],
  options: {
    ...sourceOptions,
    skip: { type: 'string', value: 'CHECK,…', text: 'leave these checks out' },
    json: jsonOption,
  },
  run: async (desk) => {
    const skipped = skippedChecks(desk)
    const gathered = await gatheredOf(desk)
    remarkNotes(gathered, desk)
    const findings = lintGathered(gathered).filter(({ check }) => !skipped.includes(check))
    if (desk.values.json === true) desk.print(`${JSON.stringify(findings, undefined, 2)}\n`)
    else desk.print(findings.length === 0 ? 'nothing found\n' : reportOf(findings, desk))
    return findings.length === 0 ? 0 : 1
  },
}

function skippedChecks({ values }: Desk): readonly Check[] {
  const words = (textOf(values, 'skip') ?? '').split(',').filter((word) => word !== '')
  return words.map((word) => {
    const check = checkNames.find((name) => name === word)
    if (check) return check
    throw new UsageFault(`--skip has ${word}; there is ${checkNames.join(', ')}`)
  })
}

function reportOf(findings: readonly Finding[], desk: Desk): string {
  const paragraphs = findings.map(({ check, object, path, place, text, meaning, remedy, fix }) => {
    const where = [object, path, place && `(${place})`].filter((word) => word).join(' ')
    const lines = [
      `${paint(check, 'yellow', desk)}: ${where} ${text}`,
      `  means: ${meaning}`,
      `  to do: ${remedy}`,
      ...(fix
        ? [
            '',
            stringify(fix)
              .replaceAll(/^(?=.)/gm, '    ')
              .trimEnd(),
            '',
          ]
        : []),
    ]
    return `${lines.join('\n')}\n`
  })
  return `${paragraphs.join('').trimEnd()}\n\n${findings.length} found\n`
}
