import t from 'tap'
import { killServerEverywhere } from './kill.ts'

t.setTimeout(600_000)

t.test('DEL, routed, policy beside a pod: the server killed at every step', (t) =>
  killServerEverywhere(t, { mode: 'routed', verb: 'DEL', asks: 'policy', beside: 'a pod' }),
)
