import type { Address } from '../../base/address.ts'
import type { Remains } from '../../datapath/gone.ts'
import type { Listener } from '../../datapath/host-ports.ts'
import type { Lease } from '../../store/book.ts'
import type { Standing } from '../../store/executable.ts'
import type { BrokenList, NetworkList } from '../../store/network-lists.ts'
import type { Link } from '../../wire/rtnl/observed-link.ts'
import type { AgentAnswer } from '../agent-client.ts'
import type { FabricView } from '../kernel-view.ts'
import type { PolicyFacts } from './policy-facts.ts'

/** What was asked and not answered: why, in words. */
export type Unseen = { readonly unseen: string }
export type Seen<T> = T | Unseen
export const isUnseen = (value: unknown): value is Unseen =>
  typeof value === 'object' && value !== null && 'unseen' in value

/** Everything that the checks look at: gathered once, so that they are made of values alone. */
export type Facts = {
  /** Names of what the process may do, "net_admin"; of those that Tulle needs. */
  readonly capabilities: ReadonlySet<string>
  readonly features: readonly Feature[]
  readonly links: readonly Link[]
  /** Of each link, by its name: "10.0.0.5/24". */
  readonly addresses: ReadonlyMap<string, readonly string[]>
  /** Entries that the kernel learned, and may forget, of each family. */
  readonly learnedNeighbours: Readonly<Record<4 | 6, number>>
  /** A file under /proc/sys; undefined where there is none. */
  readonly sysctl: (path: string) => string | undefined
  readonly udpListeners: readonly Listener[]
  readonly confDir: string
  readonly lists: readonly (NetworkList | BrokenList)[]
  readonly binDir: string
  /** By the name of the plugin in the binaries' folder. */
  readonly binary: (name: string) => 'absent' | 'not-executable' | Standing
  /** Names that Tulle answers to. */
  readonly ownNames: readonly string[]
  readonly store: Seen<StoreFacts>
  /** Forward chains that drop packets of pods: their names. */
  readonly droppingChains: Seen<readonly string[]>
  /** Tables of the older iptables, which nf_tables does not show. */
  readonly legacyTables: readonly string[]
  readonly policy: Seen<PolicyFacts>
  readonly fabric: Seen<FabricView>
  readonly agent: Seen<AgentAnswer>
}

export type Feature = { readonly name: string; readonly state: 'there' | 'missing' | 'unknown' }

/** Null: nothing has ever leased from that folder. */
export type StoreFacts = {
  readonly dataDir: string
  readonly life: 'this' | 'earlier-boot' | 'elsewhere'
  readonly leases: readonly Lease[]
  /** Host ends of the pods on record. */
  readonly podLinks: readonly string[]
  /** Of the pods on record, each once. */
  readonly gateways: readonly Address[]
  readonly remains: readonly Remains[]
} | null
