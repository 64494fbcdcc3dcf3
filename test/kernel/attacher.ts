import { writeSync } from 'node:fs'
import { holdingOf } from '../../src/datapath/holding.ts'
import { FilterSocket } from '../../src/kernel/filter-socket.ts'
import { loadNative } from '../../src/kernel/native.ts'
import { podNumber, storeOf } from './pods.ts'

// A process of its own in a namespace: node attacher.ts <what> <first pod> <count>.

const [what, first = '1', count = '1'] = process.argv.slice(2)
const filter = new FilterSocket(loadNative())
const pods = Array.from({ length: Number(count) }, (_, at) =>
  podNumber(Number(first) + at, at % 2 === 0 ? 'routed' : 'bridge'),
)
let lost = 0
for (const [at, pod] of pods.entries()) {
  const known = storeOf(...(what === 'attach' ? pods.slice(0, at + 1) : [pod]))
  filter.attach(holdingOf(pod), (fill) => {
    lost += 1
    return known(fill)
  })
  const missing = filter.missingElements(holdingOf(pod)).length
  if (missing > 0) throw new Error(`${pod.container} lacks ${missing} elements`)
  if (what === 'attach') continue
  filter.detach(holdingOf(pod))
  filter.dropEmptyTables()
}
writeSync(1, `${lost}\n`)
