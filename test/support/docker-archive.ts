import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './netns.ts'

export type ArchiveWish = Readonly<{
  /** The image's only layer: a root file system. */
  root: string
  /** "registry.example/name:tag", each as the image will be asked for. */
  names: readonly string[]
  /** As an image's `config` has it: Cmd, Entrypoint, Env, User … */
  config: Readonly<Record<string, unknown>>
}>

/**
 * Writes an image of one layer as `docker save` does (manifest.json, config, layer), which
 * `podman load` and `ctr images import` read. The same root gives the same bytes.
 */
export function writeDockerArchive(path: string, { root, names, config }: ArchiveWish): void {
  const parts = `${path}.parts`
  mkdirSync(parts, { recursive: true })
  const layer = join(parts, 'layer.tar')
  tar(['-C', root, '-cf', layer, '.'])
  const image = {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    created: '1970-01-01T00:00:00Z',
    config,
    rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] },
  }
  writeFileSync(join(parts, 'config.json'), JSON.stringify(image))
  const manifest = [{ Config: 'config.json', RepoTags: names, Layers: ['layer.tar'] }]
  writeFileSync(join(parts, 'manifest.json'), JSON.stringify(manifest))
  tar(['-C', parts, '-cf', path, 'manifest.json', 'config.json', 'layer.tar'])
  rmSync(parts, { recursive: true })
}

function tar(words: readonly string[]): void {
  const owner = ['--owner=0', '--group=0', '--numeric-owner']
  const done = run(['tar', '--sort=name', '--mtime=@0', ...owner, ...words])
  if (done.code !== 0) throw new Error(`Cannot pack the image: ${done.stderr.trim()}`)
}

const sha256 = (path: string): string =>
  createHash('sha256').update(readFileSync(path)).digest('hex')
