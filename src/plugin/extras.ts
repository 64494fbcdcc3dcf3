import type { AttachmentId } from '../datapath/attachment.ts'
import { type Extras, gateOf } from '../datapath/extras.ts'
import { holdingOfExtras } from '../datapath/holding.ts'
import { elementsToDrop } from '../datapath/isolation.ts'
import type { FilterSocket } from '../kernel/filter-socket.ts'
import type { LeaseStore } from '../store/lease-store.ts'
import type { Call } from './context.ts'
import type { PluginName } from './names.ts'
import { acceptance } from './parts/acceptance.ts'
import { hostPorts } from './parts/host-ports.ts'
import { isolation } from './parts/isolation.ts'
import type { Part, PrevResult, Removing, Target } from './parts/part.ts'
import { shaping } from './parts/shaping.ts'
import { tuning } from './parts/tuning.ts'

// What a pod's interface gets besides being there: five parts, each in its own file.

const keys = ['hostPorts', 'shaping', 'tuning', 'isolation', 'isAccepted'] as const
type Key = (typeof keys)[number]
const parts: { readonly [K in Key]: Part<NonNullable<Extras[K]>> } = {
  hostPorts,
  shaping,
  tuning,
  isolation,
  isAccepted: acceptance,
}

/** What each name acts on, of all that a configuration may ask for; the others on nothing. */
const actsOn: Readonly<Partial<Record<PluginName, readonly Key[]>>> = {
  tulle: keys,
  portmap: ['hostPorts'],
  bandwidth: ['shaping'],
  tuning: ['tuning'],
  firewall: ['isolation', 'isAccepted'],
}

/** What the configuration asks for besides the interface itself; undefined if nothing. */
export function wishedExtras(call: Call, target: Target, store: LeaseStore): Extras | undefined {
  const acting = actsOn[call.plugin] ?? []
  const wishOf = <K extends Key>(key: K): NonNullable<Extras[K]> | null =>
    acting.includes(key) ? parts[key].wish(call, target, store) : null
  const { ips, hostLink, bridge } = target
  const extras: Extras = {
    ...call.id,
    plugin: call.plugin,
    ips,
    hostLink,
    bridge,
    hostPorts: wishOf('hostPorts'),
    shaping: wishOf('shaping'),
    tuning: wishOf('tuning'),
    isolation: wishOf('isolation'),
    isAccepted: wishOf('isAccepted') ?? false,
  }
  return keys.some((key) => extras[key]) ? extras : undefined
}

type AnyPart = Omit<Part<unknown>, 'wish'>
const askedOf = (extras: Extras): readonly AnyPart[] =>
  keys.filter((key) => extras[key]).map((key) => parts[key])

/** Everything but the nftables elements, which go with the attachment's own. */
export function applyExtras(call: Call, extras: Extras, target: Target): void {
  for (const part of askedOf(extras)) part.apply?.(call, extras, target)
}

/** The result of the plugins before, with what the parts change in it. */
export const amendResult = (extras: Extras, result: PrevResult): PrevResult =>
  askedOf(extras).reduce((so, part) => part.amend?.(extras, so) ?? so, result)

type Checking = { readonly target: Target; readonly filter: FilterSocket }

export const checkExtras = (
  call: Call,
  extras: Extras,
  { target, filter }: Checking,
): readonly string[] => [
  ...askedOf(extras).flatMap((part) => part.check?.(call, extras, target) ?? []),
  ...filter
    .missingElements(holdingOfExtras(extras))
    .map(
      ({ family, table, set }) => `nftables ${family} ${table} set ${set} lacks the pod's element`,
    ),
]

/** Whose extras, and of which plugin of the chain. */
type Given = { readonly id: AttachmentId; readonly plugin: string }

/**
 * Takes back what a plugin of that name gave to an interface, newest part first, and forgets it.
 * Under the store's lock.
 */
export function removeExtras(call: Call, removing: Removing, { id, plugin }: Given = call): void {
  const { store, filter } = removing
  for (const extras of store.extras.of(id)) {
    if (extras.plugin !== plugin) continue
    const { elements, chains } = holdingOfExtras(extras)
    const gate = gateOf(extras)
    const others =
      extras.isolation === null || gate === null ? [] : store.extras.policiesBehind(gate, extras)
    const own = elementsToDrop(elements, extras, others)
    if (own.length > 0) filter.detach({ elements: own, chains })
    for (const part of askedOf(extras).toReversed()) part.remove?.(call, extras, removing)
    store.extras.drop(extras)
  }
}
