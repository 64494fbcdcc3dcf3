import { type Address, formatAddress, parseAddress } from '../base/address.ts'
import type { Spans } from './program.ts'
import type { Group, Reachability } from './reach.ts'
import { difference, nothing, remembered } from './spans.ts'

/** What begins and ceases to be allowed between the members of two groups. */
export type ReachChange = {
  readonly from: Group
  readonly to: Group
  readonly opened: Spans
  readonly closed: Spans
}

/** Members of one group before, and of one group after; of none where they come or go. */
type Joint = {
  readonly group: Group
  readonly before: number | undefined
  readonly after: number | undefined
}

/**
 * On every port, to and from pods. To a pod that comes everything it may is opened, and what one
 * that goes might is closed.
 */
export function reachChanges(before: Reachability, after: Reachability): readonly ReachChange[] {
  const joints = [...jointNames(before, after), ...jointRanges(before, after)]
  const differ = remembered((old, now) => ({
    opened: difference(now, old),
    closed: difference(old, now),
  }))
  const changes: ReachChange[] = []
  for (const from of joints)
    for (const to of joints) {
      if (!isOfPods(from.group, to.group)) continue
      const old = spansBetween(before, from.before, to.before)
      const now = spansBetween(after, from.after, to.after)
      const { opened, closed } = differ(old, now)
      if (opened.length + closed.length > 0)
        changes.push({ from: from.group, to: to.group, opened, closed })
    }
  return changes
}

/** A pod alone in its group is not its own other end. */
const isOfPods = (from: Group, to: Group): boolean =>
  from.family === to.family &&
  (from.kind === 'pods' || to.kind === 'pods') &&
  !(from === to && from.members.length === 1)

const spansBetween = (
  { allowed }: Reachability,
  from: number | undefined,
  to: number | undefined,
): Spans => (from === undefined || to === undefined ? nothing : (allowed[from]?.[to] ?? nothing))

/** Pods and nodes by their names. */
function jointNames(before: Reachability, after: Reachability): readonly Joint[] {
  type Placed = { group: Group; member: string; before?: number; after?: number }
  const placed = new Map<string, Placed>()
  for (const [when, { groups }] of Object.entries({ before, after }))
    for (const [at, group] of groups.entries()) {
      if (group.kind === 'world') continue
      for (const member of group.members) {
        const key = `${group.kind} ${group.family} ${member}`
        placed.set(key, { group, member, ...placed.get(key), [when]: at })
      }
    }
  const alike = Map.groupBy(
    placed.values(),
    ({ group: { kind, family }, before: old, after: now }) => [kind, family, old, now].join(),
  )
  return [...alike.values()].flatMap((all) => {
    const [first] = all
    if (!first) return []
    const members = all.map(({ member }) => member).sort()
    const { group, before: old, after: now } = first
    return [{ group: { ...group, members }, before: old, after: now }]
  })
}

type Range = { readonly first: Address; readonly last: Address; readonly at: number }

/** Each side's ranges have every address of a family in them. */
function jointRanges(before: Reachability, after: Reachability): readonly Joint[] {
  const [old, now] = [rangesOf(before), rangesOf(after)]
  const pieces: (Joint & { readonly member: string })[] = []
  let [left, right] = [0, 0]
  for (;;) {
    const [one, other] = [old[left], now[right]]
    if (!one || !other) break
    const { family } = one.first
    const first = one.first.value > other.first.value ? one.first : other.first
    const last = one.last.value < other.last.value ? one.last : other.last
    const member = `${formatAddress(first)}-${formatAddress(last)}`
    const group: Group = { kind: 'world', family, members: [] }
    pieces.push({ group, member, before: one.at, after: other.at })
    if (one.last.value === last.value) left++
    if (other.last.value === last.value) right++
  }
  const alike = Map.groupBy(pieces, (piece) => [piece.before, piece.after].join())
  return [...alike.values()].flatMap((all) => {
    const [first] = all
    if (!first) return []
    const { member: _, ...joint } = first
    const members = all.map(({ member }) => member)
    return [{ ...joint, group: { ...joint.group, members } }]
  })
}

const rangesOf = ({ groups }: Reachability): readonly Range[] =>
  groups
    .flatMap(({ kind, members }, at) =>
      kind === 'world' ? members.flatMap((member) => rangeOf(member, at)) : [],
    )
    .sort(
      ({ first: left }, { first: right }) =>
        left.family - right.family ||
        (left.value < right.value ? -1 : left.value > right.value ? 1 : 0),
    )

function rangeOf(member: string, at: number): readonly Range[] {
  const [first, last] = member.split('-').map(parseAddress)
  return first && last ? [{ first, last, at }] : []
}
