import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { attach, modes, netconf, onlyOurs, type PodVerb } from '../support/attachment.ts'
import { withHost } from '../support/host.ts'

t.setTimeout(240_000)

for (const mode of modes) {
  t.test(`${mode}: no program is run but our own`, (t) =>
    withHost((host) => {
      const conf = netconf(host, { mode, families: 'dual', keys: { ipMasq: true } })
      const pod = host.pod()
      const file = join(host.directory, 'trace')
      const traced = ['/usr/bin/strace', '-f', '-qqq', '-o', file, '-e', 'trace=execve,execveat']
      let prevResult: unknown
      for (const verb of ['ADD', 'CHECK', 'DEL'] as const satisfies readonly PodVerb[]) {
        const asked = prevResult === undefined ? conf : { ...conf, prevResult }
        const ran = attach(verb, pod, asked, { wrapper: traced })
        t.equal(ran.code, 0, `${verb}: ${ran.stdout}`)
        if (verb === 'ADD') prevResult = JSON.parse(ran.stdout)
        const started = readFileSync(file, 'utf8')
          .split('\n')
          .filter((line) => /exec/.test(line))
        t.equal(started.length, 1, `${verb}: ${started.join('\n')}`)
      }
    }),
  )
}

t.test('every call of this suite has a PATH and a CNI_PATH that hold our file alone', (t) =>
  withHost((host) => {
    const directory = onlyOurs(host)
    const listing = host.netns.exec(['/usr/bin/ls', directory]).stdout
    t.equal(listing, 'tulle\n')
    const conf = netconf(host, { mode: 'routed' })
    const printed = ['/usr/bin/env', '--', '/bin/sh', '-c', 'echo "$PATH $CNI_PATH" >&2', 'sh']
    const ran = attach('ADD', host.pod(), conf, { wrapper: printed })
    t.equal(ran.stderr, `${directory} ${directory}\n`)
  }),
)
