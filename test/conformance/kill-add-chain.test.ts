import t from 'tap'
import { killEverywhere } from './kill.ts'

t.setTimeout(900_000)

t.test('ADD of a whole chain, killed at every step', (t) =>
  killEverywhere(t, { mode: 'bridge', verb: 'ADD', asks: 'chain' }),
)
