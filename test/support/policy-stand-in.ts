import { closeSync, openSync } from 'node:fs'
import { policyTable } from '../../src/datapath/policy-table.ts'
import { type KernelNotice, watchKernel } from '../../src/kernel/event-stream.ts'
import { loadNative } from '../../src/kernel/native.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from '../../src/kernel/netlink-socket.ts'
import { LOCK_EX } from '../../src/store/database.ts'
import { nftBatch } from '../../src/wire/nft/message.ts'
import { decodeElements, type Element, putElement } from '../../src/wire/nft/set.ts'
import type { Host } from './host.ts'
import { runDirOf } from './policed.ts'

const NFT_MSG_NEWSETELEM = 12
const native = loadNative()

/**
 * What the plugin sees of an agent: its lock, and verdicts that come when the kernel has told of an
 * address that is policed.
 */
export class StandInAgent {
  readonly #socket: NetlinkSocket
  readonly #netnsFd: number
  readonly #watch: { readonly close: () => void }
  #lockFd: number | undefined

  /** @param onPoliced what it does when it hears; the elements are the address's four or two. */
  constructor(host: Host, onPoliced: (agent: StandInAgent, verdicts: readonly Element[]) => void) {
    this.#netnsFd = openSync(host.netns.path, 'r')
    this.#socket = new NetlinkSocket(native, this.#netnsFd, NETLINK_NETFILTER)
    this.#lockFd = openSync(`${runDirOf(host)}/agent.lock`, 'a', 0o600)
    if (native.lock(this.#lockFd, LOCK_EX, 5000) !== 0) throw new Error('Cannot have the lock')
    this.#watch = watchKernel({
      native,
      netnsFd: this.#netnsFd,
      routeGroups: [],
      nftables: true,
      onNotice: (notice) => {
        const verdicts = verdictsAfter(notice)
        if (verdicts.length > 0) onPoliced(this, verdicts)
      },
      onLost: () => undefined,
      onBroken: (refusal) => {
        throw refusal
      },
    })
  }

  /** Both sides of an address in one batch, as an agent commits. */
  put(verdicts: readonly Element[]): void {
    const refused = this.#socket.commitBatch(nftBatch(verdicts.map(putElement)))
    if (refused.length > 0) throw new Error(`Cannot put verdicts: ${JSON.stringify(refused)}`)
  }

  /** As when its process ends; what it put stays. */
  die(): void {
    if (this.#lockFd !== undefined) closeSync(this.#lockFd)
    this.#lockFd = undefined
    this.#watch.close()
  }

  close(): void {
    this.die()
    this.#socket.close()
    closeSync(this.#netnsFd)
  }
}

/** Of every address that this notice says is policed: nothing is asked of it. */
function verdictsAfter({ type, body }: KernelNotice): readonly Element[] {
  if ((type & 0xff) !== NFT_MSG_NEWSETELEM) return []
  return decodeElements(Uint8Array.from(body))
    .filter(({ set }) => set.startsWith('policed'))
    .flatMap(({ set, key }) =>
      ['egress', 'ingress'].map((side) => ({
        ...policyTable,
        set: set.replace('policed', side),
        key,
        verdict: 'return' as const,
      })),
    )
}
