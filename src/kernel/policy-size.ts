import type { Program } from '../policy/program.ts'
import { partsOf } from './policy-chains.ts'

const known = new WeakMap<Program, number>()

/** How many elements a program has in sets and maps of nftables. */
export function elementsOf(program: Program): number {
  const before = known.get(program)
  if (before !== undefined) return before
  let inProfiles = 0
  for (const profile of program.profiles.values())
    for (const { elements } of partsOf(profile).sets) inProfiles += elements.length
  // identity and known; egress, ingress and itself
  const all = inProfiles + 2 * program.identities.size + 3 * program.subjects.size
  known.set(program, all)
  return all
}
