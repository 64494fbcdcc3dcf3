import { PersistentMap } from '../base/persistent-map.ts'
import type { Profile, Program, Reach, Subject } from '../policy/program.ts'
import { textOfElement } from '../wire/nft/element-list.ts'
import { setsOfReach, wholeForms } from './policy-sets.ts'

/**
 * Whether something that passed before may not pass any more, so that connections have to be judged
 * anew. An address that goes is one: it may be another's soon, and connections to it live on in
 * conntrack (P44). May say yes without need, of a range that grew; never no.
 */
export function isNarrowing(before: Program, after: Program): boolean {
  const pods = PersistentMap.changes(before.subjects, after.subjects)
  const profiles = PersistentMap.changes(before.profiles, after.profiles)
  const addresses = PersistentMap.changes(before.identities, after.identities)
  return (
    pods.some(({ before: old, after: now }) => !now || isClosedAnew(old, now)) ||
    profiles.some(({ before: old, after: now }) => old && now && narrowsIn(old, now)) ||
    addresses.some(({ before: old }) => old !== undefined) ||
    (addresses.length > 0 && [...after.profiles.values()].some(mindsNewcomers))
  )
}

const isClosedAnew = (old: Subject | undefined, now: Subject): boolean =>
  (['egress', 'ingress'] as const).some(
    (side) => now[side] !== undefined && now[side] !== old?.[side],
  )

/** Somebody who had no identity was of the world, and no pod that is denied. */
const mindsNewcomers = ({ denies, allows, isIsolated }: Profile): boolean =>
  denies.length > 0 || (isIsolated && allows.world.length > 0)

function narrowsIn(old: Profile, now: Profile): boolean {
  if (now.isIsolated && (!old.isIsolated || !covers(now.allows, old.allows))) return true
  return now.denies.some(({ reach }, at) => {
    const was = old.denies[at]
    return was === undefined || !covers(was.reach, reach)
  })
}

function covers(outer: Reach, inner: Reach): boolean {
  const all = new Set(wordsOf(outer))
  return wordsOf(inner).every((word) => all.has(word))
}

const wordsOf = (reach: Reach): readonly string[] => [
  ...wholeForms(reach),
  ...setsOfReach('', reach).flatMap(({ set, elements }) =>
    elements.map((element) => `${set} ${textOfElement(element)}`),
  ),
]
