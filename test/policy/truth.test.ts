import { test } from 'tap'
import { podKey } from '../../src/cluster/pod.ts'
import { fromObjects } from '../../src/policy/from-objects.ts'
import { type Flow, matrixOf } from '../../src/policy/matrix.ts'
import type { Cluster } from '../../src/policy/model.ts'
import { passes } from './objects.ts'
import { allowedIn, objectsOf, steps } from './truth.ts'

const shown = ({ from, to, protocol, port }: Flow): string => `${from}>${to} ${protocol}/${port}`

const pairs = ({ pods }: Cluster): readonly (readonly [string, string])[] =>
  pods.flatMap((from) =>
    pods.filter((to) => to !== from).map((to) => [podKey(from), podKey(to)] as const),
  )

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
    const byReference = Object.keys(step.Probed).flatMap((port) =>
      pairs(cluster)
        .filter(([from, to]) => passes(cluster, from, to, port.split('/').reverse().join('/')))
        .map(([from, to]) => `${from}>${to} ${port}`),
    )
    t.same(byReference.sort(), allowedIn(step), `case ${step.Case} step ${step.Step}: reference`)
    t.equal(
      allowed.length + denied.length,
      step.Pods.length * (step.Pods.length - 1) * 6,
      `case ${step.Case} step ${step.Step}: every flow is judged`,
    )
  }
})
