import t from 'tap'
import { killServerEverywhere } from './kill.ts'

t.setTimeout(600_000)

t.test('ADD, routed, policy beside a pod: the server killed at every step', (t) =>
  killServerEverywhere(t, { mode: 'routed', verb: 'ADD', asks: 'policy', beside: 'a pod' }),
)
