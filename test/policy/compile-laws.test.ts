import fc from 'fast-check'
import { test } from 'tap'
import type { Direction } from '../../src/cluster/network-policy.ts'
import type { Cluster } from '../../src/policy/model.ts'
import { isPassing, verdict } from '../../src/policy/verdict.ts'
import { holds } from '../base/law.ts'
import { clusterOf } from './objects.ts'
import { inMode, pods, policies, spaces } from './random.ts'
import { connectionsOf, judgeBy, passesNodes, programOf } from './states.ts'

// What is compiled for the nodes says what the reference says.

const nodeNames = ['n1', 'n2']
test('law: what the nodes of both ends enforce is the reference’s verdict', async (t) =>
  holds(
    t,
    fc.property(pods, policies, (all, some) => {
      const cluster = clusterOf(...spaces, ...all, ...some)
      const programs = nodeNames.map((name) => programOf(cluster, name))
      return connectionsOf(cluster).every(
        (connection) =>
          passesNodes(programs, connection) === verdict(cluster, connection).isAllowed,
      )
    }),
    500,
  ))

test('law: audited is what would not pass if all policies were enforced', async (t) =>
  holds(
    t,
    fc.property(pods, policies, fc.boolean(), (all, some, isTriedSpace) => {
      const [first, ...others] = spaces
      const tried = first && isTriedSpace ? inMode(first, 'audit') : first
      const cluster = clusterOf(tried, ...others, ...all, ...some)
      const enforced: Cluster = {
        ...cluster,
        policies: cluster.policies.map((policy) => ({ ...policy, mode: 'enforce' })),
      }
      const programs = nodeNames.map((name) => programOf(cluster, name))
      return connectionsOf(cluster).every((connection) => {
        const judged = programs.map((program) => judgeBy(program, connection))
        const [now, then] = [verdict(cluster, connection), verdict(enforced, connection)]
        const isTold = (direction: Direction): boolean =>
          judged.some((one) => one[direction].isAudited === true) ===
          (isPassing(now[direction]) && !isPassing(then[direction]))
        const isSame = judged.every(({ isAllowed }) => isAllowed) === now.isAllowed
        // of what one end refuses the other one is not asked
        return isSame && isTold('egress') && (!isPassing(now.egress) || isTold('ingress'))
      })
    }),
    300,
  ))
