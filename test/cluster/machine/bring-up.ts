import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Cluster, Tools } from './cluster.ts'
import type { UpRequest } from './command-line.ts'
import type { Progress } from './progress.ts'

const run = promisify(execFile)
const project = fileURLToPath(new URL('../../..', import.meta.url))

/** Tools, image, cluster, Tulle: returns when three nodes and their DNS are ready. */
export async function bringUp(
  cluster: Cluster,
  { proxyMode, network, images }: UpRequest,
  { step }: Progress,
): Promise<void> {
  const tools = await step('tools', findTools)
  const scratch = mkdtempSync(join(tmpdir(), 'tulle-cluster-'))
  try {
    const own = network === 'tulle' ? [await step('image of dist/tulle', () => image(scratch))] : []
    const manifests = [
      join(project, 'test/cluster/machine/coredns.yaml'),
      ...(network === 'tulle' ? [join(project, 'conf/tulle.yaml')] : []),
    ]
    await cluster.up({ tools, proxyMode, images: [...images, ...own], manifests }, step)
  } finally {
    rmSync(scratch, { recursive: true })
  }
  if (network === 'none') return
  await Promise.all([
    step('Tulle on every node', () => cluster.rolledOut('tulle-system')),
    step('three nodes ready', () => cluster.nodesReady()),
  ])
  await step('DNS', () => cluster.rolledOut('kube-system'))
}

export async function findTools(): Promise<Tools> {
  const given = process.env.TULLE_CLUSTER_TOOLS
  if (given === undefined) throw new Error('TULLE_CLUSTER_TOOLS')
  return { bin: join(given, 'bin'), images: join(given, 'images') }
}

async function image(folder: string): Promise<string> {
  if (!existsSync(join(project, 'dist/tulle'))) {
    await run('node', [join(project, 'scripts/build.mjs')], { cwd: project })
  }
  const tar = join(folder, 'tulle.tar')
  await run('node', [join(project, 'conf/image/build.ts'), '--output', tar], { cwd: project })
  return tar
}
