import { coversRule, coversSelector } from './cover.ts'
import { titleOf } from './finding.ts'
import { isEverything, type RuleFound } from './lint-rules.ts'
import type { LintView } from './lint-view.ts'
import type { Policy, Rule } from './model.ts'

type Placed = { readonly policy: Policy; readonly rule: Rule }

/** Of two rules that say the same the later one is told of. */
export function shadowedFindings(policy: Policy, rule: Rule, view: LintView): readonly RuleFound[] {
  const here: Placed = { policy, rule }
  const near = view
    .policiesIn(policy.namespace)
    .flatMap((other) => other.rules.map((one): Placed => ({ policy: other, rule: one })))
  const place = near.findIndex((one) => one.rule === rule)
  const shadow = near.find(
    (there, index) => isAbove(there, here) && (index < place || !isSame(there, here)),
  )
  if (!shadow || rule.peers.length === 0) return []
  return [{ check: 'shadowed', text: textOf(here, shadow) }]
}

/** Says all that the rule says, or denies it. */
const isAbove = (there: Placed, here: Placed): boolean =>
  there.rule !== here.rule &&
  there.rule.direction === here.rule.direction &&
  (there.rule.action === 'deny' || here.rule.action === 'allow') &&
  covers(there, here)

const isSame = (there: Placed, here: Placed): boolean =>
  there.rule.action === here.rule.action && covers(here, there)

const covers = (wide: Placed, narrow: Placed): boolean =>
  coversSelector(wide.policy.subjects, narrow.policy.subjects) && coversRule(wide.rule, narrow.rule)

function textOf(here: Placed, { policy, rule }: Placed): string {
  const isOwn = policy === here.policy
  const which = isOwn ? rule.path : `${titleOf(policy)} ${rule.path}`
  if (isEverything(rule)) return `adds nothing: ${which} allows everything`
  if (rule.action === here.rule.action)
    return `adds nothing: ${which} ${rule.action === 'allow' ? 'allows' : 'denies'} all of it`
  return `has no effect: ${which} denies all of it`
}
