import { equals, meta, verdict } from '../wire/nft/expression.ts'
import {
  connectionState,
  counter,
  type ForeignChain,
  type ForeignRule,
  type LinkPattern,
  linkNameBytes,
} from '../wire/nft/foreign.ts'
import type { Rule } from '../wire/nft/table.ts'
import type { Extras } from './extras.ts'
import { linkPrefix } from './identity.ts'

// Hosts that drop what they do not know where they forward: Docker, ufw and people with
// iptables-nft in `filter FORWARD`, firewalld in a chain of its own. A chain's accept is not the
// last word in nf_tables, its drop is: the pod's packets must be accepted in each of these chains.

/** Where hosts drop forwarded packets; nobody is asked for everything else that they have. */
export const forwardChains: readonly ForeignChain[] = [
  { family: 'ip', table: 'filter', chain: 'FORWARD' },
  { family: 'ip6', table: 'filter', chain: 'FORWARD' },
  { family: 'inet', table: 'firewalld', chain: 'filter_FORWARD' },
]

/**
 * The links that a pod's packets come and go by. Our own host ends have their prefix in common: one
 * pair of rules serves them all.
 */
export function acceptedLinks({ bridge, hostLink }: Extras): LinkPattern | null {
  if (bridge !== null) return { name: bridge, isPrefix: false }
  if (hostLink === null) return null
  const isOurs = hostLink.startsWith(linkPrefix)
  return isOurs ? { name: linkPrefix, isPrefix: true } : { name: hostLink, isPrefix: false }
}

/** As iptables writes it: "cni0", "tul+". */
export const printLinks = ({ name, isPrefix }: LinkPattern): string =>
  isPrefix ? `${name}+` : name

/**
 * The marks of one store's rules: two stores on one node have a pair each, and take away their own.
 */
const markOf = (store: string, links: LinkPattern): string =>
  `tulle ${store} ${printLinks(links)}: `

/** The rule is of this store, for these links. */
export const isAcceptRule = (
  store: string,
  links: LinkPattern,
  { comment }: ForeignRule,
): boolean => comment?.startsWith(markOf(store, links)) ?? false

/** The links that a rule of this store is for; undefined for all other rules. */
export function linksOfRule(store: string, { comment }: ForeignRule): LinkPattern | undefined {
  const start = `tulle ${store} `
  if (!comment?.startsWith(start)) return undefined
  const shown = comment.slice(start.length).replace(/: [^:]*$/, '')
  return shown === `${linkPrefix}+`
    ? { name: linkPrefix, isPrefix: true }
    : { name: shown, isPrefix: false }
}

const register1 = 1 // NFT_REG_1, which every version of iptables reads

/**
 * From the pods: everything. To the pods of a network that Tulle makes: everything too, as other
 * nodes' pods must reach them. Under the name `firewall`, as the reference does: replies; and what
 * a host port leads to, which the reference forgets. firewalld accepts these two ahead of all else.
 */
export function acceptRules(
  { plugin, ...extras }: Extras,
  store: string,
  { family }: ForeignChain,
): readonly Rule[] {
  const links = acceptedLinks({ plugin, ...extras })
  if (links === null) return []
  const mark = markOf(store, links)
  const name = linkNameBytes(links)
  const from = [meta('iifname', register1), equals(register1, name)]
  const to = [meta('oifname', register1), equals(register1, name)]
  const end = [counter(), verdict('accept')]
  const rules = [{ comment: `${mark}from pods`, expressions: [...from, ...end] }]
  if (plugin !== 'firewall')
    return [...rules, { comment: `${mark}to pods`, expressions: [...to, ...end] }]
  if (family === 'inet') return rules
  return [
    ...rules,
    {
      comment: `${mark}replies to pods`,
      expressions: [...to, connectionState(['established', 'related']), ...end],
    },
    {
      comment: `${mark}host ports of pods`,
      expressions: [...to, connectionState(['dnat']), ...end],
    },
  ]
}

export type Fate = {
  readonly end: 'accept' | 'drop' | 'through'
  /** The first rule behind which no packet gets; undefined where the policy decides. */
  readonly at: ForeignRule | undefined
}

/** Deeper than any of these hosts' chains jump. */
const depthMax = 8

/**
 * What becomes of a packet that no condition of a chain's rules applies to. ufw drops in a chain
 * that the last rules of FORWARD jump to, firewalld in that of the default zone: jumps that every
 * packet takes are followed.
 */
export function fateIn(
  rules: readonly ForeignRule[],
  rulesOf: (chain: string) => readonly ForeignRule[],
  depth = 0,
): Fate {
  for (const at of rules) {
    const { effect } = at
    if (effect === 'accept' || effect === 'drop') return { end: effect, at }
    if (effect === 'return') return { end: 'through', at }
    if (typeof effect === 'string' || depth === depthMax) continue
    const target = 'jump' in effect ? effect.jump : effect.goto
    const { end } = fateIn(rulesOf(target), rulesOf, depth + 1)
    if (end !== 'through' || 'goto' in effect) return { end, at }
  }
  return { end: 'through', at: undefined }
}
