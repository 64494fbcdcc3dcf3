import t from 'tap'
import { killServerEverywhere } from './kill.ts'

t.setTimeout(600_000)

t.test('DEL, routed, interface beside nobody: the server killed at every step', (t) =>
  killServerEverywhere(t, { mode: 'routed', verb: 'DEL', asks: 'interface', beside: 'nobody' }),
)
