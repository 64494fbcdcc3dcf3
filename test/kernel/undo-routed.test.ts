import t from 'tap'
import { undoEverywhere } from './undo.ts'

t.setTimeout(240_000)

for (const beside of ['alone', 'beside another pod'] as const)
  t.test(`any step of a routed ADD may fail, ${beside}`, (t) =>
    undoEverywhere(t, { mode: 'routed', families: 'dual', beside }),
  )
