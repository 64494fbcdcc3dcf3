import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { onlyOurs } from './attachment.ts'
import type { Json } from './cni.ts'
import type { Host } from './host.ts'

export type Recorded = Readonly<{ env: Readonly<Record<string, string>>; stdin: string }>

/** An IPAM plugin that writes down how it is called and answers what it is told to. */
export class Recorder {
  readonly directory: string
  readonly #bin: string

  constructor(host: Host, name = 'recorder') {
    this.directory = host.directory
    this.#bin = onlyOurs(host)
    const script = `#!/bin/sh
PATH=/usr/bin:/bin
cd ${this.directory}
n=$(cat calls 2>/dev/null || echo 0); n=$((n + 1)); echo $n > calls
env -0 > env.$n; cat > stdin.$n
cat answer.$CNI_COMMAND 2>/dev/null
exit $(cat exit.$CNI_COMMAND 2>/dev/null || echo 0)
`
    const file = join(this.#bin, name)
    writeFileSync(file, script)
    chmodSync(file, 0o755)
  }

  /** What it prints for a verb from now on, and how it ends. */
  answer(verb: string, text: Json | string, exit = 0): void {
    const body = typeof text === 'string' ? text : JSON.stringify(text)
    writeFileSync(join(this.directory, `answer.${verb}`), body)
    writeFileSync(join(this.directory, `exit.${verb}`), `${exit}`)
  }

  /** The calls since the last look, in order. */
  calls(): readonly Recorded[] {
    const file = join(this.directory, 'calls')
    const count = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0
    writeFileSync(file, '0')
    return Array.from({ length: count }, (_, index) => {
      const pairs = readFileSync(join(this.directory, `env.${index + 1}`), 'utf8')
        .split('\0')
        .filter((pair) => pair !== '')
        .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)])
      const stdin = readFileSync(join(this.directory, `stdin.${index + 1}`), 'utf8')
      return { env: Object.fromEntries(pairs), stdin }
    })
  }

  /** The verbs of the calls since the last look. */
  verbs(): readonly string[] {
    return this.calls().map(({ env }) => env.CNI_COMMAND ?? '')
  }
}
