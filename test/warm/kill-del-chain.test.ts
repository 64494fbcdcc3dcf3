import t from 'tap'
import { killServerEverywhere } from './kill.ts'

t.setTimeout(600_000)

t.test('DEL, bridge, chain beside a pod: the server killed at every step', (t) =>
  killServerEverywhere(t, { mode: 'bridge', verb: 'DEL', asks: 'chain', beside: 'a pod' }),
)
