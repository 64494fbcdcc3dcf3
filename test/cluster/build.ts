#!/usr/bin/env node
// Builds what a cluster on this machine is made of: Kubernetes, etcd, CoreDNS, containerd, the
// upstream tests and helm from their Go modules (test/cluster/tools), and the images as archives.
//
//   node test/cluster/build.ts    prints each step's time, then the two folders
//
// Everything goes to $TULLE_CLUSTER_CACHE, else ~/.cache/tulle/cluster, in folders named by what
// went into them; what is there already is not built again.
import { createHash } from 'node:crypto'
import {
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { type Ran, run } from '../support/netns.ts'
import { buildImage, type ImageName, imageNames, refuseOtherTags } from './tools/images.ts'
import { buildProgram, goEnvironment, modules, modulesDir, programs } from './tools/programs.ts'

export type Tools = Readonly<{
  /** Folder of the programs. */
  bin: string
  /** Folder of the images, each a docker-archive `NAME.tar`. */
  images: string
}>

export type Say = (line: string) => void

/** Of each kind of folder: this one, and one of another branch or of yesterday. */
const foldersMax = 2

/**
 * The programs and the images, built where they are missing or where anything that they are made
 * of has changed: a quarter of an hour on two cores at first, nothing at all later. What was
 * built before a kill is kept. Throws, with the compiler's words, what can not be built.
 */
export async function ensureTools(say: Say = () => undefined): Promise<Tools> {
  const bin = await ensureFolder(say, 'programs', keyOfPrograms(), async (folder) => {
    for (const program of programs) {
      const path = join(folder, program.name)
      if (!existsSync(path)) {
        await timed(say, program.name, path, () => buildProgram(program, folder))
      }
    }
  })
  const images = await ensureFolder(say, 'images', keyOfImages(), async (folder) => {
    refuseOtherTags(bin)
    for (const name of Object.keys(imageNames) as ImageName[]) {
      const path = join(folder, `${name}.tar`)
      await timed(say, `image of ${name}`, path, async () => buildImage(name, { bin, folder }))
    }
  })
  return { bin, images }
}

/** A folder that has its name only once it is whole. */
async function ensureFolder(
  say: Say,
  kind: 'programs' | 'images',
  key: string,
  make: (folder: string) => Promise<void>,
): Promise<string> {
  const cache = cacheFolder()
  const folder = join(cache, `${kind}-${key}`)
  if (!existsSync(folder)) {
    const unfinished = `${folder}.unfinished`
    mkdirSync(unfinished, { recursive: true })
    say(`${kind}: building into ${cache}`)
    const started = performance.now()
    await make(unfinished)
    renameSync(unfinished, folder)
    say(`${kind}: ${seconds(started)} in all`)
  }
  const now = new Date()
  utimesSync(folder, now, now)
  forgetOldest(cache, `${kind}-`)
  return folder
}

/** $TULLE_CLUSTER_CACHE, else by the XDG base directory specification. */
function cacheFolder(): string {
  const { TULLE_CLUSTER_CACHE, XDG_CACHE_HOME } = process.env
  return TULLE_CLUSTER_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'tulle/cluster')
}

function forgetOldest(cache: string, prefix: string): void {
  const usedAt = (name: string) => statSync(join(cache, name)).mtimeMs
  const folders = readdirSync(cache).filter((name) => name.startsWith(prefix))
  const newestFirst = folders.toSorted((left, right) => usedAt(right) - usedAt(left))
  for (const name of newestFirst.slice(foldersMax)) rmSync(join(cache, name), { recursive: true })
}

function keyOfPrograms(): string {
  const sources = globSync(['*/go.{mod,sum}', '*/**/*.go', 'programs.ts'], { cwd: modulesDir })
  return keyOf([goVersion(), process.arch], sources)
}

function keyOfImages(): string {
  const shared = '../../support/docker-archive.ts'
  return keyOf([keyOfPrograms()], ['images.ts', 'pause/pause.c', shared])
}

function keyOf(facts: readonly string[], sources: readonly string[]): string {
  const hash = createHash('sha256').update(JSON.stringify(facts))
  for (const source of sources.toSorted()) {
    hash.update(`\0${source}\0`).update(readFileSync(join(modulesDir, source)))
  }
  return hash.digest('hex').slice(0, 16)
}

/** Of the toolchain that builds, which is the modules' own where the installed one is older. */
function goVersion(): string {
  const [module] = modules
  const argv = ['go', '-C', join(modulesDir, module), 'env', 'GOVERSION']
  let done: Ran
  try {
    done = run(argv, { env: goEnvironment(), timeoutMs: 300_000 })
  } catch (cause) {
    throw new Error('There is no Go on PATH; run scripts/install-tools cluster', { cause })
  }
  if (done.code !== 0) throw new Error(`Go can not start: ${done.stderr.trim()}`)
  return done.stdout.trim()
}

async function timed(
  say: Say,
  name: string,
  path: string,
  work: () => Promise<void>,
): Promise<void> {
  const started = performance.now()
  await work()
  const megabytes = (statSync(path).size / 1e6).toFixed(1)
  say(`${name}: ${seconds(started)}, ${megabytes} MB`)
}

const seconds = (started: number): string =>
  `${((performance.now() - started) / 1000).toFixed(1)} s`

if (import.meta.main) {
  try {
    const { bin, images } = await ensureTools((line) => process.stderr.write(`${line}\n`))
    process.stdout.write(`${bin}\n${images}\n`)
  } catch (fault) {
    process.stderr.write(`build: ${fault instanceof Error ? fault.message : String(fault)}\n`)
    process.exitCode = 1
  }
}
