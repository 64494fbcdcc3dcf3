import t from 'tap'
import { killEverywhere } from './kill.ts'

t.setTimeout(600_000)

t.test('ADD, routed, killed at every step', (t) =>
  killEverywhere(t, { mode: 'routed', verb: 'ADD', asks: 'interface' }),
)
