#!/usr/bin/env node
// Makes the image of dist/tulle without a Docker engine: nothing but the executable, the libraries
// that it needs and their licences, as an archive for `ctr images import`, `podman load`,
// `docker load` and `kind load image-archive`. The same input gives the same bytes.
//
//   conf/image/build.ts [--executable dist/tulle] [--root /] [--name localhost/tulle:VERSION]
//                       [--output dist/tulle-image-VERSION-ARCH.tar]
//
// --root is the root file system of a Debian that the libraries are taken from; for another
// architecture than this machine's, one of that architecture:
//   mmdebstrap --variant=extract --arch=arm64 --include=libstdc++6 bookworm arm64-root
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { file, folder, imageArchive } from './image-archive.ts'
import {
  architectureOf,
  ImageRefusal,
  type Library,
  librariesOf,
  type Package,
  packagesOf,
} from './libraries.ts'
import type { TarEntry } from './tar-archive.ts'

const project = fileURLToPath(new URL('../..', import.meta.url))

export type ImageFile = {
  readonly executable: string
  readonly root: string
  readonly name: string
}

/** The archive's bytes; throws ImageRefusal, in words, where something is not to be found. */
export function buildImage({ executable, root, name }: ImageFile): Buffer {
  const libraries = librariesOf(executable, root)
  const tulle = file('usr/bin/tulle', readFileSync(executable), 0o755)
  return imageArchive({
    name,
    architecture: architectureOf(executable),
    layers: [
      withFolders([...libraryEntries(libraries, packagesOf(libraries, root)), ...ownEntries()]),
      withFolders([tulle]),
    ],
    config: {
      Entrypoint: ['/usr/bin/tulle'],
      Cmd: ['agent'],
      Env: ['PATH=/usr/bin'],
      Labels: {
        'org.opencontainers.image.title': 'tulle',
        'org.opencontainers.image.version': version(),
        'org.opencontainers.image.licenses': 'Apache-2.0',
      },
    },
  })
}

function libraryEntries(
  libraries: readonly Library[],
  packages: readonly Package[],
): readonly TarEntry[] {
  return [
    ...libraries.map(({ source, path }) =>
      file(path, readFileSync(source), statSync(source).mode & 0o777),
    ),
    ...packages.flatMap(({ name, status, copyright }) => [
      ...(status ? [file(`var/lib/dpkg/status.d/${name}`, Buffer.from(status))] : []),
      ...(copyright ? [file(`usr/share/doc/${name}/copyright`, copyright)] : []),
    ]),
  ]
}

/** What glibc asks when a name is looked up; and a place for files, where one is not mounted. */
const ownEntries = (): readonly TarEntry[] => [
  file('etc/nsswitch.conf', Buffer.from('hosts: files dns\n')),
  file('etc/passwd', Buffer.from('root:x:0:0:root:/:/usr/bin/tulle\n')),
  file('etc/group', Buffer.from('root:x:0:\n')),
  folder('tmp', 0o1777),
]

/** Each folder before what it holds, all in the order of their paths. */
function withFolders(entries: readonly TarEntry[]): readonly TarEntry[] {
  const all = new Map(entries.map((entry) => [entry.path, entry]))
  for (const { path } of entries)
    for (let parent = dirname(path); parent !== '.'; parent = dirname(parent))
      if (!all.has(parent)) all.set(parent, folder(parent))
  return [...all.values()].toSorted((left, right) => (left.path < right.path ? -1 : 1))
}

export function version(): string {
  const read: unknown = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))
  return (read as { version: string }).version
}

/** What conf/tulle.yaml asks for; no registry has it, so none is asked by mistake. */
export const imageName = (): string => `localhost/tulle:${version()}`

function main(): void {
  const { values } = parseArgs({
    options: {
      executable: { type: 'string', default: join(project, 'dist/tulle') },
      root: { type: 'string', default: '/' },
      name: { type: 'string', default: imageName() },
      output: { type: 'string' },
    },
  })
  try {
    const architecture = architectureOf(values.executable)
    const output =
      values.output ?? join(project, `dist/tulle-image-${version()}-${architecture}.tar`)
    mkdirSync(dirname(output), { recursive: true })
    writeFileSync(output, buildImage(values))
    process.stdout.write(`${output}\n`)
  } catch (refusal) {
    if (!(refusal instanceof ImageRefusal)) throw refusal
    process.stderr.write(`image: ${refusal.message}\n`)
    process.exitCode = 1
  }
}

if (import.meta.main) main()
