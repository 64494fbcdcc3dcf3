import { listed } from '../base/listed.ts'
import { podKey } from '../cluster/pod.ts'
import { type Found, titleOf } from './finding.ts'
import type { LintView } from './lint-view.ts'
import type { Policy } from './model.ts'
import { selects } from './select.ts'

/** Whom a policy is about: nobody, pods that have ended, pods that are the node to it. */
export function subjectFindings(policy: Policy, view: LintView): readonly Found[] {
  const { path, subjects } = policy
  const where = { object: titleOf(policy), path }
  const named = view
    .podsIn(policy.namespace)
    .filter((pod) =>
      selects(subjects, { ...pod, isHostNetwork: false, isDone: false }, view.cluster),
    )
  const onHosts = named.filter(({ isHostNetwork, isDone }) => isHostNetwork && !isDone).map(podKey)
  const done = named.filter(({ isDone }) => isDone).map(podKey)
  const nobody = view.subjectsOf(policy).length === 0
  const ended = `selects no running pod, only some that have ended: ${listed(done)}`
  const none: readonly Found[] =
    done.length > 0
      ? [{ ...where, check: 'completed-pods', text: ended }]
      : [{ ...where, check: 'selects-nothing', text: 'selects no running pod' }]
  return [
    ...(nobody ? none : []),
    ...(onHosts.length > 0
      ? [
          {
            ...where,
            check: 'host-network',
            text: `has no effect on ${listed(onHosts)}, which have the node's network`,
          } as const,
        ]
      : []),
  ]
}
