import t from 'tap'
import { refuseEverywhere } from './refused.ts'

t.setTimeout(600_000)

t.test('bridge: every call refused once', (t) => refuseEverywhere(t, 'bridge'))
