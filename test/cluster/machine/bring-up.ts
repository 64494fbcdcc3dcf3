import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { ensureTools, type Say, type Tools } from '../build.ts'
import { imageNames } from '../tools/images.ts'
import type { Cluster } from './cluster.ts'
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
  const tools = await step('tools', () => findTools((line) => process.stdout.write(`  ${line}\n`)))
  const scratch = mkdtempSync(join(tmpdir(), 'tulle-cluster-'))
  try {
    const own = network === 'tulle' ? [await step('image of dist/tulle', () => image(scratch))] : []
    const manifests = [coreDns(), ...(network === 'tulle' ? [read('conf/tulle.yaml')] : [])]
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

const read = (file: string): string => readFileSync(join(project, file), 'utf8')

const coreDns = (): string =>
  read('test/cluster/machine/coredns.yaml').replace('IMAGE', imageNames.coredns[0])

/** Those of TULLE_CLUSTER_TOOLS as they are, else built where they are missing. */
export async function findTools(say?: Say): Promise<Tools> {
  const given = process.env.TULLE_CLUSTER_TOOLS
  if (given === undefined) return ensureTools(say)
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
