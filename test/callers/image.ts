import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeDockerArchive } from '../support/docker-archive.ts'

export const imageName = 'localhost/tulle-test:1'

/** Debian's busybox-static; the image needs no library and no registry. */
const busybox = '/bin/busybox'
const applets = ['sh', 'sleep', 'ip', 'ping', 'httpd', 'wget'] as const

/** Writes the pods' image as a docker-archive, whose path it gives. Its command only sleeps. */
export function writeImage(directory: string): string {
  const root = join(directory, 'image-root')
  for (const path of ['bin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'www']) {
    mkdirSync(join(root, path), { recursive: true })
  }
  copyFileSync(busybox, join(root, 'bin/busybox'))
  for (const applet of applets) symlinkSync('busybox', join(root, 'bin', applet))
  writeFileSync(join(root, 'www/index.html'), 'served by a pod\n')
  const image = join(directory, 'image.tar')
  const config = { Cmd: ['/bin/sleep', '100000000'], Env: ['PATH=/bin'] }
  writeDockerArchive(image, { root, names: [imageName], config })
  return image
}
