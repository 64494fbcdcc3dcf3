import t from 'tap'
import { killEverywhere } from './kill.ts'

t.setTimeout(900_000)

t.test('DEL of a pod that policies hold for, killed at every step', (t) =>
  killEverywhere(t, { mode: 'bridge', verb: 'DEL', asks: 'policy' }),
)
