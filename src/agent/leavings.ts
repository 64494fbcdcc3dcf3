import { existsSync } from 'node:fs'
import type { Attachment } from '../datapath/attachment.ts'
import { runLater } from '../kernel/later-program.ts'
import type { Native } from '../kernel/native.ts'
import type { RouteSocket } from '../kernel/route-socket.ts'
import { lifeStamp } from '../store/boot.ts'
import { waitingAtMost } from '../store/database.ts'
import { LeaseStore } from '../store/lease-store.ts'
import type { Leavings } from './collect-loop.ts'

/** ADDs go first; whoever looks after pods that are gone comes again. */
const lockWaitMilliseconds = 100

export type Place = {
  readonly native: Native
  readonly route: RouteSocket
  readonly dataDir: string
}

/** What the store has on record, held beside the host's links. */
export function lookForLeavings({ native, route, dataDir }: Place): Leavings {
  const links = new Set(route.links().map(({ name }) => name))
  if (!existsSync(`${dataDir}/tulle.db`)) return { attachments: [], isEarlierLife: false, links }
  const lock = waitingAtMost(native.lock, lockWaitMilliseconds)
  const life = lifeStamp(route.netnsCookie())
  return LeaseStore.use(dataDir, lock, (store) => ({
    attachments: store.attachments(),
    isEarlierLife: (store.meta('life') ?? life) !== life,
    links,
  }))
}

/** What DEL is asked with: all that it needs besides is in the record. */
export const confOf = ({ network, mode, bridge }: Attachment, dataDir: string): string =>
  JSON.stringify({
    cniVersion: '1.0.0',
    name: network,
    type: 'tulle',
    mode,
    ...(bridge ? { bridge: bridge.name } : {}),
    ipam: { type: 'host-local', dataDir },
  })

/** A DEL waits for the store's lock, 20 s at most, and works some 50 ms. */
const delLimitMilliseconds = 30_000

/** Runs DEL of this very executable: there is one way to take a pod away. */
export async function runDel(
  executable: string,
  attachment: Attachment,
  { dataDir, binDir }: { readonly dataDir: string; readonly binDir: string },
): Promise<void> {
  const env = {
    CNI_COMMAND: 'DEL',
    CNI_CONTAINERID: attachment.container,
    CNI_IFNAME: attachment.ifname,
    CNI_PATH: binDir,
  }
  const input = confOf(attachment, dataDir)
  const { code, stdout, stderr } = await runLater(executable, {
    input,
    env,
    limitMilliseconds: delLimitMilliseconds,
  })
  if (code === 0) return
  const said = (stdout || stderr).trim().slice(0, 500)
  throw new Error(`Cannot DEL ${attachment.container}/${attachment.ifname}: ${said}`)
}
