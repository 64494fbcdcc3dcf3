import { readFileSync } from 'node:fs'
import { describe } from '../../cni/config.ts'
import { code, fault } from '../../cni/fault.ts'
import { acceptedLinks, acceptRules, isAcceptRule, linksOfRule } from '../../datapath/acceptance.ts'
import { type Extras, gateOf } from '../../datapath/extras.ts'
import { digestOf } from '../../datapath/identity.ts'
import { ForeignChains, type RulesFor } from '../../kernel/foreign-chains.ts'
import type { RouteSocket } from '../../kernel/route-socket.ts'
import type { LeaseStore } from '../../store/lease-store.ts'
import { type Call, dataDirOf } from '../context.ts'
import type { Part, Target } from './part.ts'

/**
 * Accept rules in the host's own firewall, where it drops what it does not know. They are asked for
 * by who is there, not by what the firewall does today: one that starts to drop later gets them
 * with the next pod, and CHECK tells of them until then.
 */
export const acceptance: Part<true> = {
  wish: (call, target, store) => {
    if (call.plugin === 'firewall') refuseBackend(call)
    if (gateOf(target) === null || !isAsked(call, target)) return null
    if (store.isEmpty()) noteLegacy(call)
    return true
  },
  apply: (call, extras) => new ForeignChains(call.native).ensure(rulesFor(call, extras)),
  remove: (call, extras, { store }) => {
    const links = acceptedLinks(extras)
    if (links === null || store.extras.hasOthersAccepted(extras, links)) return
    const own = storeMark(call)
    new ForeignChains(call.native).drop((rule) => isAcceptRule(own, links, rule))
  },
  check: (call, extras) =>
    new ForeignChains(call.native)
      .missing(rulesFor(call, extras))
      .map(
        ({ chain, rule }) =>
          `nftables ${chain} drops forwarded packets, and lacks the rule "${rule.comment}"; ` +
          'the next ADD puts it there',
      ),
}

/** `firewall` is there for nothing else; Tulle does so for the interfaces that it makes. */
function isAsked({ plugin, config }: Call, { origin }: Target): boolean {
  if (plugin === 'firewall') return true
  return config.acceptForward ?? origin === 'new'
}

const storeMark = ({ config }: Call): string => digestOf(dataDirOf(config))

const rulesFor =
  (call: Call, extras: Extras): RulesFor =>
  (chain) =>
    acceptRules(extras, storeMark(call), chain)

/** Rules whose links are gone, of pods that no record tells of: a store was lost. */
export function collectAcceptRules(call: Call, store: LeaseStore, host: RouteSocket): void {
  const own = storeMark(call)
  const chains = new ForeignChains(call.native)
  const idle = new Map(
    chains.rules().flatMap((rule) => {
      const links = linksOfRule(own, rule)
      return links && !store.extras.isAnyAccepted(links) ? [[rule.comment, links] as const] : []
    }),
  )
  if (idle.size === 0) return
  const names = host.links().map(({ name }) => name)
  const isThere = ({ name, isPrefix }: { name: string; isPrefix: boolean }): boolean =>
    names.some((one) => (isPrefix ? one.startsWith(name) : one === name))
  chains.drop(({ comment }) => {
    const links = idle.get(comment)
    return links !== undefined && !isThere(links)
  })
}

/** All the same to us: the rules go where the kernel drops. */
const backends = [undefined, '', 'iptables', 'firewalld', 'nftables']

function refuseBackend({ config }: Call): void {
  if (backends.includes(config.backend)) return
  throw fault(
    code.invalidConfig,
    'invalid network configuration',
    `backend is ${describe(config.backend)}; accepted: "iptables" or "firewalld"`,
  )
}

/** Only asked for with a node's first pod; nf_tables does not see these rules. */
function noteLegacy({ note }: Call): void {
  for (const file of ['/proc/net/ip_tables_names', '/proc/net/ip6_tables_names'])
    if (tablesIn(file).includes('filter'))
      note(
        `${file} names a table "filter" of iptables-legacy, which Tulle can't see or change; ` +
          'if its FORWARD chain drops, accept the pods there, or move to iptables-nft',
      )
}

function tablesIn(file: string): readonly string[] {
  try {
    return readFileSync(file, 'utf8').split('\n')
  } catch {
    return []
  }
}
