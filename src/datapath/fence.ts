import type { Expression } from '../wire/nft/expression.ts'
import { immediate, lookup, meta, register, verdict, verdictMap } from '../wire/nft/expression.ts'
import type { KeyType } from '../wire/nft/set.ts'
import type { Rule } from '../wire/nft/table.ts'

// The fence between pods of several networks, where the host forwards from one gate (the bridge of
// bridged pods, the host end of a routed pod) to another. The host's own packets and those of the
// outside come or go by links that are no gates.

type FenceSet = {
  readonly set: string
  readonly key: readonly KeyType[]
  readonly verdicts: boolean
}

/**
 * fenced: gates of pods with a policy. solitary: bridges of pods that no pod reaches. circle: gate
 * → the chain that knows whom its pods reach; circles: gates with the number of their circle.
 */
export const fenceSets: readonly FenceSet[] = [
  { set: 'fenced', key: ['ifname'], verdicts: false },
  { set: 'solitary', key: ['ifname'], verdicts: false },
  { set: 'circle', key: ['ifname'], verdicts: true },
  { set: 'circles', key: ['ifname', 'mark'], verdicts: false },
]

export const fenceChain = 'fence'

const isFrom = (set: string): readonly Expression[] => [
  meta('iifname', register(0)),
  lookup(set, register(0)),
]
const isTo = (set: string): readonly Expression[] => [
  meta('oifname', register(0)),
  lookup(set, register(0)),
]

/** What no pod with a policy sends pays for one look-up. */
export const forwardRules = (): readonly Rule[] => [
  {
    comment: 'from a fenced pod to a fenced pod',
    expressions: [...isFrom('fenced'), ...isTo('fenced'), verdict({ jump: fenceChain })],
  },
]

/**
 * Worked example: cni1 leads to the chain of circle 7, and [cni1 7] is in circles, so that a packet
 * from cni1 back to cni1 is accepted there; [cni2 7] is not, so that one to cni2 comes back and is
 * dropped. Where isolated pods share a bridge with others the stricter wins.
 */
export const fenceRules = (): readonly Rule[] => [
  {
    comment: 'from a pod that reaches none',
    expressions: [...isFrom('solitary'), verdict('drop')],
  },
  { comment: 'to a pod that none reaches', expressions: [...isTo('solitary'), verdict('drop')] },
  {
    comment: 'to the same network, as its chain knows',
    expressions: [meta('iifname', register(0)), verdictMap('circle', register(0))],
  },
  { comment: 'to another network', expressions: [verdict('drop')] },
]

/**
 * One chain a circle: a map that gives the number instead would do without, but nft up to 1.0.6
 * dies of a rule that looks up what a map gave.
 */
export const circleRules = (number: Uint8Array): readonly Rule[] => [
  {
    comment: 'to a pod of this circle',
    expressions: [
      meta('oifname', register(0)),
      immediate(register(4), number),
      lookup('circles', register(0)),
      verdict('accept'),
    ],
  },
]
