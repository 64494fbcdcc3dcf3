import t from 'tap'
import { undoEverywhere } from './undo.ts'

t.setTimeout(240_000)

for (const beside of ['alone', 'beside another pod'] as const)
  t.test(`any step of a bridge ADD may fail, ${beside}`, (t) =>
    undoEverywhere(t, { mode: 'bridge', families: 'dual', beside }),
  )
