import { test } from 'tap'
import { fromObjects } from '../../src/policy/from-objects.ts'
import { type Flow, matrixOf } from '../../src/policy/matrix.ts'
import { allowedIn, objectsOf, steps } from './truth.ts'

const shown = ({ from, to, protocol, port }: Flow): string => `${from}>${to} ${protocol}/${port}`

test('the truth table holds, every step', async (t) => {
  const table = steps()
  t.equal(table.length, 131)
  for (const step of table) {
    const manifests = objectsOf(step).map((object, index) => ({ place: `object ${index}`, object }))
    const { cluster, problems } = fromObjects(manifests)
    const isProbed = ({ protocol, port }: Flow) => `${protocol}/${port}` in step.Probed
    const { allowed, denied } = matrixOf(cluster)
    const found = allowed.filter(isProbed).map(shown).sort()
    t.same(problems, [], `case ${step.Case} step ${step.Step}: nothing to complain of`)
    t.same(found, allowedIn(step), `case ${step.Case} step ${step.Step}: ${step.Desc}`)
    t.equal(
      allowed.length + denied.length,
      step.Pods.length * (step.Pods.length - 1) * 6,
      `case ${step.Case} step ${step.Step}: every flow is judged`,
    )
  }
})
