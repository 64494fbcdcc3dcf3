// Records what a kernel answers to an ADD and a DEL, in namespaces that end with this process:
// node scripts/rehearsal.ts FILE
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { loadNative, type Native } from '../src/kernel/native.ts'
import { ThrowAwayNode } from '../src/kernel/throw-away-node.ts'
import { runToEnd } from '../src/plugin/pausing.ts'
import { type Acts, modes, perform } from '../src/plugin/worker/rehearsal.ts'
import { recording } from '../src/plugin/worker/transcript.ts'
import { OpenDatabases } from '../src/store/open-databases.ts'

const [file] = process.argv.slice(2)
if (file === undefined) throw new Error('Usage: node scripts/rehearsal.ts FILE')
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tulle-rehearsal-'))
const base = loadNative()
const node = ThrowAwayNode.enter(base)
try {
  const stores = new OpenDatabases()
  const script = modes.map((mode) => {
    const { netnsFd } = node.makePod(mode)
    const play = (native: Native, store: string): void =>
      runToEnd(perform({ native, folder: path.join(folder, store), netnsFd, stores }, mode))
    const record = (): Acts['first'] => {
      const { native, lines } = recording(base)
      play(native, mode)
      return lines
    }
    // Forwarding goes on with a node's first pod, which looks at the links that are really there.
    play(base, `${mode}-before`)
    return [mode, { first: record(), again: record() } satisfies Acts]
  })
  fs.writeFileSync(file, JSON.stringify(Object.fromEntries(script)))
  stores.closeAll()
} finally {
  node.leave()
  fs.rmSync(folder, { recursive: true, force: true })
}
