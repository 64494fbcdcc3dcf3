import fc from 'fast-check'
import { test } from 'tap'
import { verdict } from '../../src/policy/verdict.ts'
import { holds } from '../base/law.ts'
import { clusterOf } from './objects.ts'
import { pods, policies, spaces } from './random.ts'
import { connectionsOf, passesNodes, programOf } from './states.ts'

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
