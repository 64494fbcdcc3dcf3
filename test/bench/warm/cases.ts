import type { Attachment, Counted, Effort, PeerId } from '../cases.ts'
import type { Job, Verb } from '../job.ts'

/**
 * What a pod is given. `full`: bridge, masquerade, a host port, bandwidth both ways, a sysctl, and
 * NetworkPolicy where an agent runs; of the references the five plugins that do the rest of it.
 */
export type Outfit = 'bridge' | 'bridge-masq' | 'routed-masq' | 'full'

export type Place = {
  readonly peer: PeerId
  readonly outfit: Outfit
  /** Its name in rows and targets. */
  readonly variant: string
  /** Calls at once. */
  readonly burst: number
  /** Where it is not the case's: of what takes minutes, fewer. */
  readonly rounds?: number
}

/** Tulle with an agent beside itself without one, the references and the kernel's own part. */
export type WarmCase = Counted & {
  readonly kind: 'warm'
  readonly verbs: readonly Verb[]
  readonly places: readonly Place[]
  /** Columns. */
  readonly peers: readonly PeerId[]
  readonly how: Required<Pick<Job, 'order' | 'limitSeconds' | 'quietMs'>>
}

/** The kernel's own part of as many, without a process for each. */
export type FloorCase = Counted & { readonly kind: 'floor'; readonly bursts: readonly number[] }

export const oneByOneId = 'warm'
export const burstId = 'warm-burst'
/** Pods that a node gets at once after its reboot. */
export const rebootBurst = 200

const columns = ['warm', 'tulle', 'newest', 'debian', 'floor'] as const

const peersOf: Readonly<Record<Outfit, readonly PeerId[]>> = {
  bridge: ['newest', 'debian'],
  'bridge-masq': ['warm', 'tulle', 'newest', 'floor'],
  'routed-masq': ['warm', 'tulle', 'floor'],
  full: ['warm', 'tulle', 'newest'],
}

export const planWarmCases = (effort: Effort): readonly (WarmCase | FloorCase)[] => [
  oneByOne(effort),
  bursts(effort),
  floors(effort),
]

const oneByOne = (effort: Effort): WarmCase => ({
  kind: 'warm',
  id: oneByOneId,
  title: 'With an agent (warm) and without, one by one; full: as the chain, with policy where warm',
  rounds: effort === 'full' ? 40 : 4,
  warmup: 2,
  verbs: ['VERSION', 'STATUS', 'ADD', 'CHECK', 'DEL'],
  places: (['bridge', 'bridge-masq', 'routed-masq', 'full'] as const).flatMap((outfit) =>
    peersOf[outfit].map((peer) => ({
      peer,
      outfit,
      variant: outfitWords[outfit],
      burst: 1,
    })),
  ),
  peers: columns,
  how: { order: 'verbs', limitSeconds: 60, quietMs: 50 },
})

/** By calls at once. 200 chains take half a minute to two, and as long again for their DEL. */
const burstRounds = [
  { burst: 1, rounds: 20, ofChain: 5 },
  { burst: 4, rounds: 8, ofChain: 3 },
  { burst: 50, rounds: 4, ofChain: 2 },
  { burst: rebootBurst, rounds: 3, ofChain: 1 },
] as const

/** Longer than what the agent waits before it looks at pods that changed (agent/pod-loop). */
const agentQuietMs = 400

const bursts = (effort: Effort): WarmCase => ({
  kind: 'warm',
  id: burstId,
  title: 'The same, pods at once: wall time until the last is done (200 chains take minutes)',
  rounds: effort === 'full' ? Math.max(...burstRounds.map(({ rounds }) => rounds)) : 1,
  warmup: 0,
  verbs: ['ADD', 'DEL'],
  places: burstRounds
    .filter(({ burst }) => effort === 'full' || burst < rebootBurst)
    .flatMap(({ burst, rounds, ofChain }) =>
      (['bridge-masq', 'full'] as const).flatMap((outfit) =>
        peersOf[outfit].map((peer) => {
          const isChain = outfit === 'full' && peer === 'newest'
          const variant = burstVariant(outfit, burst)
          return { peer, outfit, variant, burst, rounds: isChain ? ofChain : rounds }
        }),
      ),
    ),
  peers: ['warm', 'tulle', 'newest', 'floor'],
  how: { order: 'contenders', limitSeconds: 300, quietMs: agentQuietMs },
})

const floors = (effort: Effort): FloorCase => ({
  kind: 'floor',
  id: 'warm-floor',
  title: 'What the kernel takes of it: netlink alone, no process to start, no lease',
  rounds: effort === 'full' ? 10 : 2,
  warmup: 0,
  bursts: [1, rebootBurst],
})

/** As the plugins' configuration has it. */
export const attachmentOf = (outfit: Outfit): Attachment => ({
  wiring: outfit === 'routed-masq' ? 'routed' : 'bridge',
  masquerade: outfit === 'bridge' ? 'plain' : 'masq',
  families: 'single',
})

export const outfitWords: Readonly<Record<Outfit, string>> = {
  bridge: 'bridge, no masquerade',
  'bridge-masq': 'bridge, masquerade',
  'routed-masq': 'routed, masquerade',
  full: 'full',
}

export const burstVariant = (outfit: Outfit, burst: number): string =>
  `${outfitWords[outfit]}, ${burst} at once`
