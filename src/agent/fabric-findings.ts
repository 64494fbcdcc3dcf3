import { formatAddress } from '../base/address.ts'
import type { ApplyRefusal } from '../kernel/fabric-socket.ts'
import type { Underlay } from '../overlay/fabric.ts'
import type { Woven } from '../overlay/peer.ts'
import type { Found } from './findings.ts'

// What may be wrong with the way to other nodes, in words.

export const missingSelf = (nodeName: string, count: number): Found => ({
  check: 'node-unknown',
  subject: nodeName,
  severity: 'error',
  meaning: `None of the ${count} nodes of the cluster is called ${nodeName}`,
  remedy: "set nodeName (or NODE_NAME) to this node's name in the cluster",
})

export const noWayOut = (problem: string): Found => ({
  check: 'no-uplink',
  severity: 'error',
  meaning: problem,
  remedy: 'bring the link with that address up; the last known way stays in force',
})

/** One family of two is gone from the host. */
export const halfWayOut = ({ address, link }: Underlay): Found => ({
  check: 'no-uplink',
  subject: `IPv${address.family}`,
  severity: 'warning',
  meaning: `${formatAddress(address)} of this node is on no link that is up; it was on ${link}`,
  remedy: 'bring it back; the last known way stays in force',
})

/** Nodes whose pods are not all reached. */
export const unreached = (nodes: Iterable<Woven>): readonly Found[] =>
  [...nodes].flatMap(({ name, problem }): Found[] =>
    problem === undefined
      ? []
      : [
          {
            check: 'peer-unreached',
            subject: name,
            severity: 'warning',
            meaning: problem,
            remedy: 'correct the node, or the mode; see "tulle routes"',
          },
        ],
  )

/** Refusals that are told one by one; 5,000 of one kind are one fault. */
const toldMax = 5

export function refusedAll(refusals: readonly ApplyRefusal[]): Error {
  const told = refusals.slice(0, toldMax).map(({ text }) => text)
  const more = refusals.length - told.length
  return new Error(`${told.join('; ')}${more > 0 ? `; and ${more} more` : ''}`)
}
