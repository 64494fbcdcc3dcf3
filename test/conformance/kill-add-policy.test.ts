import t from 'tap'
import { killEverywhere } from './kill.ts'

t.setTimeout(900_000)

t.test('ADD of a pod that policies hold for, killed at every step', (t) =>
  killEverywhere(t, { mode: 'routed', verb: 'ADD', asks: 'policy' }),
)
