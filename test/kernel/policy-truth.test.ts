import { test } from 'tap'
import { podKey } from '../../src/cluster/pod.ts'
import { transportNumbers } from '../../src/cluster/policy-port.ts'
import { fromObjects } from '../../src/policy/from-objects.ts'
import { compareWithKernel } from '../../src/policy/kernel-differences.ts'
import { kernelVerdict, staleMark } from '../../src/policy/kernel-verdict.ts'
import { machineOf } from '../../src/wire/nft/machine.ts'
import { connectionOf } from '../policy/objects.ts'
import { allowedIn, objectsOf, steps } from '../policy/truth.ts'
import { factsOf, loadAndRead, localKeys, onOneNode } from './loaded-policies.ts'
import { withRoom } from './sockets.ts'

const extent = { differencesMax: 100, agreedMax: 0 }

test(
  'the truth table holds of the ruleset read back from the kernel, every step',
  { timeout: 600_000 },
  (t) =>
    withRoom((room) => {
      const table = steps()
      t.equal(table.length, 131)
      for (const step of table) {
        const name = `case ${step.Case} step ${step.Step}: ${step.Desc}`
        const manifests = objectsOf(step).map((object, at) => ({ place: `object ${at}`, object }))
        const cluster = onOneNode(fromObjects(manifests).cluster)
        const ruleset = loadAndRead(room, cluster)
        const run = {
          machine: machineOf(ruleset),
          isLocal: localKeys,
          staleMark: staleMark(ruleset),
          unknown: new Set<string>(),
        }
        const names = cluster.pods.map(podKey)
        const found = Object.keys(step.Probed).flatMap((probed) =>
          names.flatMap((from) =>
            names
              .filter((to) => to !== from)
              .filter((to) => {
                const asked = connectionOf(cluster, from, to, probed.split('/').reverse().join('/'))
                if (asked.protocol === 'ICMP') throw new Error('The table asks for ports alone')
                const protocol = transportNumbers[asked.protocol]
                const flow = { source: asked.from, target: asked.to, protocol, port: asked.port }
                return kernelVerdict(flow, run)?.verdict === 'passes'
              })
              .map((to) => `${from}>${to} ${probed}`),
          ),
        )
        t.same(found.sort(), allowedIn(step), name)
        const { differences, unknown, flows } = compareWithKernel(factsOf(cluster), ruleset, extent)
        t.same(differences, [], `${name}: no difference`)
        t.same([...unknown, ...run.unknown], [], `${name}: every rule is followed`)
        t.ok(flows > 100, `${name}: ${flows} kinds of flows`)
      }
    }),
)
