import { test } from 'tap'
import { fromObjects } from '../../src/policy/from-objects.ts'
import type { Cluster } from '../../src/policy/model.ts'
import { connectionOf } from './objects.ts'
import { passesNodes, programOf } from './states.ts'
import { allowedIn, objectsOf, type Step, steps } from './truth.ts'

const nodeNames = ['n1', 'n2', 'n3']

/** The table names no nodes: every pod is put on one of three. */
function clusterOf(step: Step): Cluster {
  const manifests = objectsOf(step).map((object, index) => ({ place: `object ${index}`, object }))
  const { cluster } = fromObjects(manifests)
  const pods = cluster.pods.map((pod, index) => ({
    ...pod,
    node: nodeNames[index % nodeNames.length] ?? '',
  }))
  return { ...cluster, pods }
}

test('the truth table holds of what is compiled for each node, every step', async (t) => {
  const table = steps()
  t.equal(table.length, 131)
  for (const step of table) {
    const cluster = clusterOf(step)
    const programs = nodeNames.map((name) => programOf(cluster, name))
    const names = step.Pods.map(({ Ns, Name }) => `${Ns}/${Name}`)
    const found = Object.keys(step.Probed).flatMap((port) =>
      names.flatMap((from) =>
        names
          .filter((to) => to !== from)
          .filter((to) => {
            const asked = connectionOf(cluster, from, to, port.split('/').reverse().join('/'))
            return passesNodes(programs, asked)
          })
          .map((to) => `${from}>${to} ${port}`),
      ),
    )
    t.same(found.sort(), allowedIn(step), `case ${step.Case} step ${step.Step}: ${step.Desc}`)
  }
})
