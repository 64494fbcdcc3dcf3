import { type Finding, type Found, findingOf, titleOf } from './finding.ts'
import type { Gathered, ObjectProblem } from './from-objects.ts'
import { dnsFindings } from './lint-dns.ts'
import { namespaceFindings } from './lint-namespaces.ts'
import { portFindings } from './lint-ports.ts'
import { ruleFindings } from './lint-rules.ts'
import { serviceFindings } from './lint-services.ts'
import { shadowedFindings } from './lint-shadowed.ts'
import { subjectFindings } from './lint-subjects.ts'
import { LintView } from './lint-view.ts'
import type { Cluster } from './model.ts'

/** In the order of the policies and their rules; checks that need no policy come last. */
export function lint(cluster: Cluster): readonly Finding[] {
  const view = new LintView(cluster)
  const found = [
    ...cluster.policies.flatMap((policy): readonly Found[] => [
      ...subjectFindings(policy, view),
      ...policy.rules.flatMap((rule) => {
        const place = { object: titleOf(policy), path: rule.path }
        const ofRule = [
          ...ruleFindings(policy, rule, view),
          ...shadowedFindings(policy, rule, view),
          ...portFindings(policy, rule, view),
        ]
        return ofRule.map((one) => ({ ...place, ...one }))
      }),
      ...dnsFindings(policy, view),
    ]),
    ...serviceFindings(view),
    ...namespaceFindings(view),
  ]
  return found.map(findingOf)
}

/** As `lint`, with what was refused and what only the manifests show; each with its place. */
export function lintGathered({ cluster, problems, slips, places }: Gathered): readonly Finding[] {
  const all = [
    ...problems.map(refusedFinding).map(findingOf),
    ...slips.map(findingOf),
    ...lint(cluster),
  ]
  return all.map((finding) => {
    const place = places.get(finding.object)
    return place === undefined ? finding : { ...finding, place }
  })
}

const refusedFinding = ({ object, path, found, accepted }: ObjectProblem): Found => ({
  check: 'refused',
  object,
  path,
  text: `is ${found}, which Tulle does not do; accepted: ${accepted}`,
})
