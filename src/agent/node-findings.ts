import { type Conflict, explainConflict } from '../overlay/conflicts.ts'
import type { LeaseStatus } from '../serve/agent-status.ts'
import type { Found } from './findings.ts'

// What keeps this node from having pods, in words.

export const noPodCIDR = (name: string): Found => ({
  check: 'no-pod-cidr',
  subject: name,
  severity: 'error',
  meaning: `Node ${name} has no podCIDR, so its pods can't have addresses`,
  remedy:
    'let kube-controller-manager give podCIDRs (--allocate-node-cidrs --cluster-cidr), or set ' +
    'podCIDRs in the nodes file',
})

/** Few are left when it is time to do something about it. */
const nearlyUsedShare = 0.9

/** A range that is full refuses pods; the kubelet goes on sending them here all the same. */
export const exhaustedRanges = ({ ranges }: LeaseStatus): readonly Found[] =>
  ranges.flatMap(({ subnet, used, free }): readonly Found[] =>
    used < (used + free) * nearlyUsedShare
      ? []
      : [
          {
            check: 'pod-cidr-exhausted',
            subject: subnet,
            severity: 'warning',
            meaning:
              free === 0
                ? `All ${used} addresses of podCIDR ${subnet} are held: new pods get none`
                : `${used} of the ${used + free} addresses of podCIDR ${subnet} are held`,
            remedy:
              'see who holds them (tulle ipam list), give back what gone pods hold (tulle ipam ' +
              'gc), lower maxPods of the kubelet, or give the nodes larger podCIDRs',
          },
        ],
  )

export const foreignFirst = (name: string, path: string): Found => ({
  check: 'two-networks',
  subject: name,
  severity: 'error',
  meaning: `The runtime reads ${name} before ${path}: pods would get that network, not Tulle's`,
  remedy: `remove ${name}, or name Tulle's list so that it comes first (conflist)`,
})

/** Those that this node is in are errors; the others are another node's to mend. */
export const conflictFindings = (conflicts: readonly Conflict[], own: string): readonly Found[] =>
  conflicts.map((conflict) => ({
    check: checkOf(conflict),
    subject: nodesOf(conflict).join(', '),
    severity: nodesOf(conflict).includes(own) ? 'error' : 'warning',
    meaning: explainConflict(conflict),
    remedy: 'give one of them another; what was there before stays in force on this node',
  }))

function nodesOf(conflict: Conflict): readonly string[] {
  switch (conflict.kind) {
    case 'podCIDRs-overlap':
      return [conflict.node, conflict.otherNode]
    case 'address-twice':
      return conflict.nodes
    case 'address-in-podCIDR':
      return [conflict.node, conflict.owner]
  }
}

const checkOf = ({ kind }: Conflict): string =>
  kind === 'podCIDRs-overlap'
    ? 'duplicate-pod-cidr'
    : kind === 'address-twice'
      ? 'duplicate-address'
      : 'address-in-pod-cidr'

/** Nodes that could be read in part alone. */
export const oddNodes = (problems: ReadonlyMap<string, readonly string[]>): readonly Found[] =>
  [...problems].map(([name, texts]) => ({
    check: 'odd-node',
    subject: name,
    severity: 'warning',
    meaning: `Node ${name}: ${texts.join('; ')}`,
    remedy: 'correct that Node; the rest of it counts',
  }))
