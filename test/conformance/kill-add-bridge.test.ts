import t from 'tap'
import { killEverywhere } from './kill.ts'

t.setTimeout(600_000)

t.test('ADD, bridge, killed at every step', (t) =>
  killEverywhere(t, { mode: 'bridge', verb: 'ADD', asks: 'interface' }),
)
