import { existsSync, statSync } from 'node:fs'
import { arch } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { executable as tulle } from '../support/cni.ts'
import { run } from '../support/netns.ts'
import { type Attachment, type PeerId, referencePlugin } from './cases.ts'
import { type Unpacked, unpackFrom, upstreamVersion } from './debian.ts'
import type { PeerNote } from './report.ts'
import { installWarm } from './warm/agent-node.ts'

/** A peer that is here and can be run. */
export type Peer = PeerNote & {
  /** File for a case's attachment; without one, for VERSION. */
  readonly executable: (attachment?: Attachment) => string
  readonly words: readonly string[]
  /** CNI_PATH. */
  readonly directory: string
  /** Newest CNI version that it knows; STATUS is asked from 1.1.0 on. */
  readonly cniVersion: string
}

export type Peers = {
  readonly here: ReadonlyMap<PeerId, Peer>
  /** All, in the order of columns, with what is missing. */
  readonly notes: readonly PeerNote[]
}

const packageName = 'containernetworking-plugins'
const systemPlugins = '/usr/lib/cni'

/** The Node that the executable is made of. */
const pinnedNode = fileURLToPath(
  new URL(`../../node_modules/node-linux-${arch()}/bin/node`, import.meta.url),
)

export async function findPeers(
  floor: string,
  emptyScript: string,
  workDirectory: string,
): Promise<Peers> {
  const found = [
    await attempt('warm', 'tulle, warm', () => findWarm(workDirectory)),
    await attempt('tulle', 'tulle', findTulle),
    await attempt('newest', 'plugins, newest', async () => reference('newest', await newest())),
    await attempt('debian', 'plugins, Debian 12', async () => reference('debian', await debian())),
    await attempt('floor', 'kernel floor', () => program('floor', 'kernel floor', floor, [])),
    await attempt('node', 'node -e 0', () => program('node', 'node -e 0', pinnedNode, ['-e', '0'])),
    await attempt('script', 'empty script', () =>
      program('script', 'empty script', pinnedNode, [emptyScript]),
    ),
  ]
  const here = found.filter(isHere)
  return { here: new Map(here.map((peer) => [peer.id, peer])), notes: found.map(noteOf) }
}

const noteOf = ({ id, label, sizeBytes, missing }: Peer | PeerNote): PeerNote => ({
  id,
  label,
  ...(sizeBytes === undefined ? {} : { sizeBytes }),
  ...(missing === undefined ? {} : { missing }),
})

const isHere = (one: Peer | PeerNote): one is Peer => 'executable' in one

function findTulle(): Peer {
  if (!existsSync(tulle)) throw new Error(`there is no ${tulle}; "npm run build" makes dist/tulle`)
  return { ...program('tulle', 'tulle', tulle, []), cniVersion: '1.1.0' }
}

/** Shows that there is a launcher; each node installs one that knows its agent. */
function findWarm(workDirectory: string): Peer {
  const directory = join(workDirectory, 'warm-bin')
  const launcher = installWarm(directory, join(workDirectory, 'no-agent'))
  return { ...program('warm', 'tulle, warm', launcher, []), directory, cniVersion: '1.1.0' }
}

const program = (id: PeerId, label: string, file: string, words: readonly string[]): Peer => ({
  id,
  label,
  words,
  executable: () => file,
  directory: dirname(file),
  cniVersion: '1.1.0',
  sizeBytes: statSync(file).size,
})

/** sid follows upstream's releases; its binaries run on Debian 12 as they are. */
async function newest(): Promise<Unpacked> {
  const { root, version } = await unpackFrom('sid', packageName)
  return { root: join(root, systemPlugins), version }
}

async function debian(): Promise<Unpacked> {
  if (existsSync(join(systemPlugins, 'bridge'))) {
    const asked = run(['dpkg-query', '-W', packageName])
    return { root: systemPlugins, version: upstreamVersion(asked.stdout.split('\t')[1] ?? '?') }
  }
  const { root, version } = await unpackFrom('bookworm', packageName)
  return { root: join(root, systemPlugins), version }
}

function reference(id: PeerId, { root, version }: Unpacked): Peer {
  const banner = run([join(root, 'bridge')], { env: {} })
  const versions = /supported: (.*)/.exec(banner.stdout + banner.stderr)?.[1]?.split(', ')
  if (versions === undefined) throw new Error(`${version} tells no CNI versions: ${banner.stderr}`)
  return {
    id,
    label: `plugins ${version}`,
    words: [],
    executable: (attachment) => join(root, referencePlugin(attachment?.wiring ?? 'bridge')),
    directory: root,
    cniVersion: versions.at(-1)!.trim(),
    sizeBytes: ['bridge', 'host-local'].reduce(
      (sum, name) => sum + statSync(join(root, name)).size,
      0,
    ),
  }
}

async function attempt(
  id: PeerId,
  label: string,
  find: () => Peer | Promise<Peer>,
): Promise<Peer | PeerNote> {
  try {
    return await find()
  } catch (fault) {
    return { id, label, missing: lastLine(fault) }
  }
}

const lastLine = (fault: unknown): string =>
  (fault instanceof Error ? fault.message : String(fault)).trim().split('\n').at(-1) ?? ''
