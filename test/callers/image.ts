import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../support/netns.ts'

export const imageName = 'localhost/tulle-test:1'

/** Debian's busybox-static; the image needs no library and no registry. */
const busybox = '/bin/busybox'
const applets = ['sh', 'sleep', 'ip', 'ping', 'httpd', 'wget'] as const

/**
 * Writes an image of one layer as `docker save` does (manifest.json, config, layer), which both
 * `podman load` and `ctr images import` read. Its command only sleeps.
 */
export function writeImage(directory: string): string {
  const root = join(directory, 'image-root')
  for (const path of ['bin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'www']) {
    mkdirSync(join(root, path), { recursive: true })
  }
  copyFileSync(busybox, join(root, 'bin/busybox'))
  for (const applet of applets) symlinkSync('busybox', join(root, 'bin', applet))
  writeFileSync(join(root, 'www/index.html'), 'served by a pod\n')
  tar(['-C', root, '-cf', join(directory, 'layer.tar'), '.'])

  const config = JSON.stringify({
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    created: '1970-01-01T00:00:00Z',
    config: { Cmd: ['/bin/sleep', '100000000'], Env: ['PATH=/bin'] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(join(directory, 'layer.tar'))}`] },
  })
  writeFileSync(join(directory, 'config.json'), config)
  const manifest = [{ Config: 'config.json', RepoTags: [imageName], Layers: ['layer.tar'] }]
  writeFileSync(join(directory, 'manifest.json'), JSON.stringify(manifest))
  const image = join(directory, 'image.tar')
  tar(['-C', directory, '-cf', image, 'manifest.json', 'config.json', 'layer.tar'])
  return image
}

function tar(words: readonly string[]): void {
  const done = run(['tar', '--owner=0', '--group=0', '--numeric-owner', ...words])
  if (done.code !== 0) throw new Error(`Cannot pack the image: ${done.stderr.trim()}`)
}

function sha256(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}
