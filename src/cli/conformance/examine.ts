import { type CniVersion, isAtLeast } from '../../cni/version.ts'
import { addCases } from './add-cases.ts'
import type { Bench } from './bench.ts'
import type { Case, Outcome } from './case.ts'
import { chainedCases } from './chained-cases.ts'
import { checkCases } from './check-cases.ts'
import { collectCases } from './collect-cases.ts'
import { delCases, lastDelCase } from './del-cases.ts'
import { environmentCases, ownNetnsCase } from './environment-cases.ts'
import { versionCases } from './version-cases.ts'

/** In the order in which they have to be asked: an untouched node first, a spoilt one last. */
export const allCases: readonly Case[] = [
  lastDelCase,
  ...versionCases,
  ...environmentCases,
  ...addCases,
  ...chainedCases,
  ...checkCases,
  ...delCases,
  ...collectCases,
  ownNetnsCase,
]

/** Every case under every version that it is for, oldest version first. */
export function examineAll(
  bench: Bench,
  cases: readonly Case[],
  versions: readonly CniVersion[],
): readonly Outcome[] {
  const newest = versions.slice(-1)
  return cases.flatMap((one) =>
    (one.scope === 'once' ? newest : versions)
      .filter((version) => isFor(one, version))
      .map((version) => examine(bench, one, version)),
  )
}

const isFor = ({ since, until }: Case, version: CniVersion): boolean =>
  (since === undefined || isAtLeast(version, since)) &&
  (until === undefined || isAtLeast(until, version))

/** prevResult is of this version on. */
const firstOfChains = '0.3.0'

function examine(bench: Bench, one: Case, version: CniVersion): Outcome {
  const outcome = { case: one, version }
  const { kind } = bench.subject
  if (one.kinds && !one.kinds.includes(kind))
    return { ...outcome, verdict: 'not applicable', reasons: [`the plugin is of kind ${kind}`] }
  if (kind === 'chained' && !one.withoutPod && !isAtLeast(version, firstOfChains))
    return {
      ...outcome,
      verdict: 'not applicable',
      reasons: [`chains began with ${firstOfChains}`],
    }
  try {
    const found = one.examine({ bench, version })
    if ('notApplicable' in found)
      return { ...outcome, verdict: 'not applicable', reasons: [found.notApplicable] }
    return { ...outcome, verdict: found.length === 0 ? 'pass' : 'fail', reasons: found }
  } finally {
    bench.clear()
  }
}
