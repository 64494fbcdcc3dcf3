import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { CallServer } from '../support/call-server.ts'
import { type Host, withHost } from '../support/host.ts'
import { LauncherFile } from '../support/launcher-file.ts'

/** A node with a server of its own and the launcher that asks it. */
export type Served = Readonly<{ host: Host; server: CallServer; file: LauncherFile }>

export function withServed<T>(use: (served: Served) => Promise<T>): Promise<T> {
  return withHost((host) => use(served(host)))
}

export function served(host: Host): Served {
  const file = new LauncherFile()
  const server = new CallServer({ node: host.netns, folder: file.folder })
  host.netns.beforeClose(() => server.close())
  return { host, server, file }
}

/** As `openFiles`, once it has been the same for a while: links are deleted behind its back. */
export async function quietFiles(server: CallServer): Promise<number> {
  for (let before = openFiles(server); ; ) {
    await sleep(80)
    const now = openFiles(server)
    if (now === before) return now
    before = now
  }
}

/** proc(5): how many descriptors it has open. */
export const openFiles = ({ pid }: CallServer): number => readdirSync(`/proc/${pid}/fd`).length
