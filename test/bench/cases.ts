import type { Verb } from './job.ts'
import { type FloorCase, planWarmCases, type WarmCase } from './warm/cases.ts'

/**
 * Columns of the tables. `newest` and `debian` are the reference plugins of two Debian releases;
 * `warm` is Tulle through its agent, where `tulle` is the executable by itself.
 */
export type PeerId = 'warm' | 'tulle' | 'newest' | 'debian' | 'floor' | 'node' | 'script'

export type Wiring = 'routed' | 'bridge'

/** How a pod is attached; the same for every peer of a case. */
export type Attachment = {
  readonly wiring: Wiring
  readonly masquerade: 'masq' | 'plain'
  readonly families: 'single' | 'dual'
}

/** One contender per peer and variant. */
export type Variant = {
  /** Empty when a case has only one. */
  readonly label: string
  /** Leases that the store holds beside those of the run. */
  readonly leases: number
  /** Calls at once. */
  readonly burst: number
}

export type Counted = {
  readonly id: string
  readonly title: string
  readonly rounds: number
  readonly warmup: number
}
/** Process start alone. */
export type StartCase = Counted & { readonly kind: 'start' }
export type AttachCase = Counted & {
  readonly kind: 'attach'
  readonly attachment: Attachment
  readonly verbs: readonly Verb[]
  readonly variants: readonly Variant[]
  readonly peers: readonly PeerId[]
}
/** As runtimes chain plugins: host port, bandwidth, a sysctl and firewall behind the interface. */
export type ChainCase = Counted & {
  readonly kind: 'chain'
  readonly families: Attachment['families']
  readonly iptables: 'nft' | 'legacy'
  readonly peers: readonly PeerId[]
}
/** Host ports by their number: the next one's ADD, and a packet's way through one. */
export type PortsCase = Counted & { readonly kind: 'ports'; readonly mappings: readonly number[] }
export type Case = StartCase | AttachCase | ChainCase | PortsCase | WarmCase | FloorCase

export type Effort = 'full' | 'quick'

const onePod: Variant = { label: '', leases: 0, burst: 1 }
const references = ['tulle', 'newest', 'debian'] as const

/** What a `full` run repeats, and what `quick` repeats. */
const repeats = {
  start: { full: 60, quick: 8 },
  attach: { full: 40, quick: 4 },
  // The reference ptp waits one to two seconds for duplicate address detection at every ADD.
  slowAttach: { full: 12, quick: 1 },
  chain: { full: 15, quick: 2 },
  leases: { full: 25, quick: 3 },
  burst: { full: 3, quick: 1 },
} as const

/** All cases in their order, or those whose id contains `only`. */
export function planCases(effort: Effort, only: string): readonly Case[] {
  const all: readonly Case[] = [
    startCase(effort),
    ...(['routed', 'bridge'] as const).flatMap((wiring) =>
      (['single', 'dual'] as const).flatMap((families) =>
        (['plain', 'masq'] as const).map((masquerade) =>
          attachCase(effort, { wiring, masquerade, families }),
        ),
      ),
    ),
    chainCase(effort, 'single', 'nft'),
    chainCase(effort, 'dual', 'nft'),
    chainCase(effort, 'single', 'legacy'),
    portsCase(effort),
    leasesCase(effort),
    burstCase(effort, { wiring: 'routed', masquerade: 'plain', families: 'single' }),
    burstCase(effort, { wiring: 'bridge', masquerade: 'masq', families: 'single' }),
    ...planWarmCases(effort),
  ]
  return all.filter((one) => one.id.includes(only))
}

const startCase = (effort: Effort): StartCase => ({
  kind: 'start',
  id: 'start',
  title: 'Start to exit of VERSION, beside Node itself',
  rounds: repeats.start[effort],
  warmup: 2,
})

function attachCase(effort: Effort, attachment: Attachment): AttachCase {
  const slow = attachment.wiring === 'routed' && attachment.families === 'dual'
  return {
    kind: 'attach',
    id: attachmentId(attachment),
    title: attachmentTitle(attachment),
    rounds: repeats[slow ? 'slowAttach' : 'attach'][effort],
    warmup: slow && effort === 'quick' ? 0 : 1,
    attachment,
    verbs: ['VERSION', 'STATUS', 'ADD', 'CHECK', 'DEL'],
    variants: [onePod],
    peers: [...references, 'floor'],
  }
}

const chainCase = (
  effort: Effort,
  families: Attachment['families'],
  iptables: ChainCase['iptables'],
): ChainCase => ({
  kind: 'chain',
  id: ['chain', ...(families === 'dual' ? ['dual'] : []), iptables].join('-'),
  title:
    `Bridge, ${families === 'dual' ? 'dual stack' : 'IPv4'}, masquerade, host port, bandwidth, ` +
    `sysctl, firewall; the references on iptables-${iptables}`,
  rounds: repeats.chain[effort],
  warmup: 1,
  families,
  iptables,
  peers: references,
})

const portsCase = (effort: Effort): PortsCase => ({
  kind: 'ports',
  id: 'ports',
  title: 'Host ports: ADD of the next, and round trip of a flow’s first packet, by mappings',
  rounds: repeats.leases[effort],
  warmup: 1,
  mappings: [1, 10_000],
})

/** "at 10,000": the variant's name in rows and targets. */
export const mappingsLabel = (mappings: number): string => `at ${mappings.toLocaleString('en')}`

const leasesCase = (effort: Effort): AttachCase => ({
  kind: 'attach',
  id: 'leases',
  title: 'Routed, IPv4, no masquerade, by leases in the store',
  rounds: repeats.leases[effort],
  warmup: 1,
  attachment: { wiring: 'routed', masquerade: 'plain', families: 'single' },
  verbs: ['ADD', 'DEL'],
  variants: [
    { label: 'at 1 lease', leases: 0, burst: 1 },
    { label: 'at 20,000', leases: 20_000, burst: 1 },
  ],
  peers: references,
})

const burstCase = (effort: Effort, attachment: Attachment): AttachCase => ({
  kind: 'attach',
  id: `burst-${attachmentId(attachment)}`,
  title: `${attachmentTitle(attachment)}, pods at once: wall time until the last is done`,
  rounds: repeats.burst[effort],
  warmup: 0,
  attachment,
  verbs: ['ADD', 'DEL'],
  variants: burstsOf(effort, attachment).map((burst) => ({
    label: `${burst} at once`,
    leases: 0,
    burst,
  })),
  peers: references,
})

/** 200 at once with masquerade take the reference plugins a quarter of a minute. */
const burstsOf = (effort: Effort, { masquerade }: Attachment): readonly number[] =>
  effort === 'quick' && masquerade === 'masq' ? [1, 50] : [1, 50, 200]

/** `routed`, `routed-masq`, `bridge-dual`, … */
export const attachmentId = ({ wiring, masquerade, families }: Attachment): string =>
  [
    wiring,
    ...(families === 'dual' ? ['dual'] : []),
    ...(masquerade === 'masq' ? ['masq'] : []),
  ].join('-')

const attachmentTitle = ({ wiring, masquerade, families }: Attachment): string =>
  `${wiring === 'routed' ? 'Routed' : 'Bridge'}, ${families === 'dual' ? 'dual stack' : 'IPv4'}, ` +
  `${masquerade === 'masq' ? 'with' : 'no'} masquerade`

/** The reference plugin that wires a pod likewise. */
export const referencePlugin = (wiring: Wiring): 'ptp' | 'bridge' =>
  wiring === 'routed' ? 'ptp' : 'bridge'
