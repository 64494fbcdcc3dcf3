import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { writeDockerArchive } from '../../support/docker-archive.ts'
import { run } from '../../support/netns.ts'
import { modulesDir, versionOf } from './programs.ts'

/** As `test/utils/image/manifest.go` of the Kubernetes release names them; so the tests ask. */
const e2eRegistry = 'registry.k8s.io/e2e-test-images'

/** Every image of the cluster by the names that it is asked for; the first is the usual one. */
export const imageNames = {
  // containerd's own default, then the release's
  pause: ['registry.k8s.io/pause:3.10.1', 'registry.k8s.io/pause:3.10.2'],
  coredns: [
    `registry.k8s.io/coredns/coredns:${versionOf('kubernetes', 'github.com/coredns/coredns')}`,
  ],
  // Debian's glibc and dig are what the third name stands for. The two pods of nginx only have to
  // run: agnhost's default command does.
  agnhost: [
    `${e2eRegistry}/agnhost:2.63.0`,
    `${e2eRegistry}/glibc-dns-testing:2.0.0`,
    `${e2eRegistry}/nginx:1.15-4`,
  ],
  busybox: [`${e2eRegistry}/busybox:1.37.0-1`],
} as const satisfies Readonly<Record<string, readonly string[]>>

export type ImageName = keyof typeof imageNames

/** Debian's busybox-static: the programs of an image that has no others. */
const busybox = '/bin/busybox'

/** What tests call in agnhost beside agnhost itself, of Debian's packages, by the image's names. */
const programsOfAgnhost = {
  bash: '/bin/bash',
  curl: '/usr/bin/curl',
  dig: '/usr/bin/dig',
  getent: '/usr/bin/getent',
  ip: '/bin/ip',
  nc: '/bin/nc.openbsd',
  nsenter: '/usr/bin/nsenter',
  // not busybox, whose shell prefers its own nc to the one on PATH
  sh: '/bin/dash',
  ss: '/bin/ss',
} as const

/** Makes an image of programs in `bin` as a docker-archive in `folder`. */
export function buildImage(name: ImageName, { bin, folder }: { bin: string; folder: string }) {
  const root = mkdtempSync(join(tmpdir(), `tulle-image-${name}-`))
  const archive = join(folder, `${name}.tar`)
  try {
    layFolders(root)
    const config = fill[name](root, bin)
    const names = imageNames[name]
    writeDockerArchive(`${archive}.unfinished`, { root, names, config })
    renameSync(`${archive}.unfinished`, archive)
  } finally {
    rmSync(root, { recursive: true })
  }
}

/** Throws if the release's tests ask for an image by another tag than it has here. */
export function refuseOtherTags(bin: string): void {
  const asked = must([join(bin, 'e2e.test'), '-list-images']).split('\n')
  const ours = Object.values(imageNames).flat()
  const strange = ours.filter((name) => name.startsWith(e2eRegistry) && !asked.includes(name))
  if (strange.length > 0) {
    throw new Error(`No test asks for ${strange.join(', ')}; test/cluster/tools/images.ts is old`)
  }
}

type Config = Readonly<Record<string, unknown>>
const path = 'PATH=/usr/sbin:/usr/bin:/sbin:/bin'

/** Fills an image's root file system and says how it is started. */
const fill: Readonly<Record<ImageName, (root: string, bin: string) => Config>> = {
  pause(root) {
    const source = join(modulesDir, 'pause/pause.c')
    must(['cc', '-Os', '-s', '-static', '-o', join(root, 'pause'), source])
    return { Entrypoint: ['/pause'], User: '65535:65535' }
  },

  coredns(root, bin) {
    copyFileSync(join(bin, 'coredns'), join(root, 'coredns'))
    return { Entrypoint: ['/coredns'], WorkingDir: '/' }
  },

  busybox(root) {
    copyBusybox(root)
    return { Cmd: ['sh'], Env: [path] }
  },

  agnhost(root, bin) {
    for (const [name, source] of Object.entries(programsOfAgnhost)) copyProgram(root, name, source)
    copyBusybox(root)
    copyFileSync(join(bin, 'agnhost'), join(root, 'agnhost'))
    symlinkSync('agnhost', join(root, 'agnhost-2'))
    copyFileSync(join(bin, 'coredns'), join(root, 'coredns'))
    for (const file of ['localhost.crt', 'localhost.key']) {
      copyFileSync(join(agnhostSource(), 'porter', file), join(root, file))
    }
    mkdirSync(join(root, 'uploads'))
    return { Entrypoint: ['/agnhost'], Cmd: ['pause'], Env: [path] }
  },
}

/** The folders of a root file system, `/bin` and its like as links into `/usr`, as Debian's are. */
function layFolders(root: string): void {
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    mkdirSync(join(root, 'usr', name), { recursive: true })
    symlinkSync(`usr/${name}`, join(root, name))
  }
  for (const name of ['dev', 'etc', 'proc', 'root', 'sys', 'var']) mkdirSync(join(root, name))
  mkdirSync(join(root, 'tmp'))
  chmodSync(join(root, 'tmp'), 0o1777)
  // a temporary folder is its owner's alone, and most pods are not root
  chmodSync(root, 0o755)
  const users = 'root:x:0:0:root:/root:/bin/sh\nuser-defined-in-image:x:1000:1000::/:/bin/sh\n'
  writeFileSync(join(root, 'etc/passwd'), users)
  const groups = 'user-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:'
  writeFileSync(join(root, 'etc/group'), `root:x:0:\n${groups}user-defined-in-image\n`)
  writeFileSync(join(root, 'etc/nsswitch.conf'), 'passwd: files\ngroup: files\nhosts: files dns\n')
}

/** Busybox, by each name of its own that nothing else has yet. */
function copyBusybox(root: string): void {
  copyFileSync(busybox, join(root, 'usr/bin/busybox'))
  for (const applet of must([busybox, '--list']).split('\n').filter(Boolean)) {
    const link = join(root, 'usr/bin', applet)
    if (!existsSync(link)) symlinkSync('busybox', link)
  }
}

/** A program of this machine, with the libraries and the loader that ldd(1) names. */
function copyProgram(root: string, name: string, source: string): void {
  if (!existsSync(source)) {
    throw new Error(`No ${source} here for the image of agnhost; run scripts/install-tools cluster`)
  }
  copyFileSync(source, join(root, 'usr/bin', name))
  for (const [library] of must(['ldd', source]).matchAll(/\/\S+/g)) {
    const target = join(root, 'usr', dirname(library).replace(/^\/usr/, ''), basename(library))
    if (existsSync(target)) continue
    mkdirSync(dirname(target), { recursive: true })
    copyFileSync(realpathSync(library), target)
  }
}

/** The folder of agnhost's source in Go's module cache. */
function agnhostSource(): string {
  const list = ['list', '-f', '{{.Dir}}', 'k8s.io/kubernetes/test/images/agnhost']
  return must(['go', '-C', join(modulesDir, 'kubernetes'), ...list]).trim()
}

function must(argv: readonly string[]): string {
  const done = run(argv, { env: { ...(process.env as Record<string, string>), GOWORK: 'off' } })
  if (done.code !== 0) throw new Error(`${argv.join(' ')} failed: ${done.stderr.trim()}`)
  return done.stdout
}
