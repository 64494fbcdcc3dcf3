import t from 'tap'
import { killServerEverywhere } from './kill.ts'

t.setTimeout(600_000)

t.test('ADD, bridge, interface beside nobody: the server killed at every step', (t) =>
  killServerEverywhere(t, { mode: 'bridge', verb: 'ADD', asks: 'interface', beside: 'nobody' }),
)
