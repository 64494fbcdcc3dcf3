import { concatenate, type Element } from '../wire/nft/set.ts'
import type { TableName } from '../wire/nft/table.ts'
import { type Extras, gateOf } from './extras.ts'
import { digestOf } from './identity.ts'
import { ifnameBytes } from './packet-match.ts'

/** `same-bridge`: no other network's pods; `isolated`: no pods at all. */
export type IsolationPolicy = 'same-bridge' | 'isolated'

export type Isolation = {
  readonly policy: IsolationPolicy
  /** The port of somebody else's bridge was not isolated before us, and is to be so again. */
  readonly wasOpenPort: boolean
}

const table: TableName = { family: 'inet', table: 'tulle' }

export const circlePrefix = 'circle-'

/**
 * Pods that reach one another: those of one bridge, of one routed network. A routed pod has a gate
 * of its own, so that an isolated one is a circle of one: it reaches itself by a host port.
 */
export function circleOf({
  isolation,
  bridge,
  network,
  hostLink,
}: Extras): { readonly chain: string; readonly number: Uint8Array } | undefined {
  if (isolation === null || (bridge === null && hostLink === null)) return undefined
  const isAlone = isolation.policy === 'isolated'
  if (bridge !== null && isAlone) return undefined
  const routed = isAlone ? `pod\0${hostLink}` : `network\0${network}`
  const digest = digestOf(bridge === null ? routed : `bridge\0${bridge}`)
  const number = Uint8Array.from(digest.match(/../g) ?? [], (hex) => Number.parseInt(hex, 16))
  return { chain: circlePrefix + digest, number }
}

/** Where pods share a bridge they share its elements. */
export function isolationElements(extras: Extras): readonly Element[] {
  const gate = gateOf(extras)
  if (extras.isolation === null || gate === null) return []
  const key = ifnameBytes(gate)
  const circle = circleOf(extras)
  const elements: readonly Element[] = [
    { ...table, set: 'fenced', key },
    ...(circle
      ? [
          { ...table, set: 'circle', key, verdict: { jump: circle.chain } },
          { ...table, set: 'circles', key: concatenate([key, circle.number]) },
        ]
      : [{ ...table, set: 'solitary', key }]),
  ]
  return extras.bridge === null
    ? elements
    : elements.map((element) => ({ ...element, isShared: true }))
}

/**
 * The elements that go with this pod: its own, and of those that it shares what nobody else behind
 * its gate needs.
 * @param others the policies of other pods behind the gate
 */
export function elementsToDrop(
  elements: readonly Element[],
  extras: Extras,
  others: readonly IsolationPolicy[],
): readonly Element[] {
  const kept = new Set(
    others
      .flatMap((policy) =>
        isolationElements({ ...extras, isolation: { policy, wasOpenPort: false } }),
      )
      .map(({ set }) => set),
  )
  return elements.filter(({ isShared, set }) => !isShared || !kept.has(set))
}
