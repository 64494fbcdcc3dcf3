import t from 'tap'
import { killEverywhere } from './kill.ts'

t.setTimeout(600_000)

t.test('DEL, routed, killed at every step', (t) =>
  killEverywhere(t, { mode: 'routed', verb: 'DEL', asks: 'interface' }),
)
