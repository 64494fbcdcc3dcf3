import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'

export type Architecture = 'amd64' | 'arm64'

/** Debian's folder of an architecture's libraries, and what readelf calls the machine. */
export const platforms = {
  amd64: { triplet: 'x86_64-linux-gnu', machine: 'Advanced Micro Devices X86-64' },
  arm64: { triplet: 'aarch64-linux-gnu', machine: 'AArch64' },
} as const satisfies Readonly<Record<Architecture, { triplet: string; machine: string }>>

/** A shared object: where it was found, and where the image has it. */
export type Library = { readonly source: string; readonly path: string }

export class ImageRefusal extends Error {
  override name = 'ImageRefusal'
}

/** Of an executable's own header (readelf -h); throws ImageRefusal for any other machine. */
export function architectureOf(executable: string): Architecture {
  const header = readelf('-h', executable)
  for (const architecture of ['amd64', 'arm64'] as const)
    if (header.includes(platforms[architecture].machine)) return architecture
  throw new ImageRefusal(`${executable} is neither for x86-64 nor for AArch64`)
}

/**
 * The dynamic loader that an executable names and every library it needs, directly or through
 * others, from the root file system of a machine of that architecture.
 */
export function librariesOf(executable: string, root: string): readonly Library[] {
  const { triplet } = platforms[architectureOf(executable)]
  const found = new Map<string, Library>()
  const loader = /program interpreter: \/?([^\]]+)\]/.exec(readelf('-l', executable))?.[1]
  const loaderName = loader?.split('/').at(-1)
  if (loader !== undefined && loaderName !== undefined) {
    const source = firstThere(root, [loader, `usr/${loader}`, `usr/lib/${triplet}/${loaderName}`])
    if (source === undefined) throw new ImageRefusal(`There is no ${loader} in ${root}`)
    found.set(loaderName, { source, path: loader })
  }
  const open = [executable]
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    for (const name of neededBy(file)) {
      if (found.has(name)) continue
      const folders = [`lib/${triplet}`, `usr/lib/${triplet}`]
      const source = firstThere(
        root,
        folders.map((folder) => `${folder}/${name}`),
      )
      if (source === undefined)
        throw new ImageRefusal(
          `There is no ${name} in ${folders.join(' or ')} of ${root}; give --root the root file ` +
            'system of a Debian of that architecture',
        )
      found.set(name, { source, path: `usr/lib/${triplet}/${name}` })
      open.push(source)
    }
  }
  return [...found.values()].toSorted((left, right) => (left.path < right.path ? -1 : 1))
}

/** Names as the dynamic section has them (elf(5), DT_NEEDED). */
const neededBy = (file: string): readonly string[] =>
  [...readelf('-d', file).matchAll(/\(NEEDED\)\s+Shared library: \[([^\]]+)\]/g)].map(
    ([, name = '']) => name,
  )

/** Links of a foreign root lead within it: `/lib` there is `usr/lib` of that root. */
function firstThere(root: string, paths: readonly string[]): string | undefined {
  for (const path of paths.map((one) => join(root, one)))
    if (existsSync(path)) return realpathSync(path)
  return undefined
}

function readelf(option: string, file: string): string {
  try {
    return execFileSync('readelf', ['-W', option, file], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'ignore'],
    })
  } catch (cause) {
    throw new ImageRefusal(`Cannot read ${file} with readelf (package binutils)`, { cause })
  }
}

/** A Debian package that files of the image are of: what licences and scanners ask for. */
export type Package = {
  readonly name: string
  /** Its stanza of dpkg's status; absent where packages were only unpacked. */
  readonly status: string | undefined
  readonly copyright: Buffer | undefined
}

/** Of a C++ program on Debian, whatever else its libraries are of. */
const usualPackages = ['libc6', 'libgcc-s1', 'libstdc++6']

/** Packages of a root's dpkg that brought these files; none where it is no Debian's. */
export function packagesOf(libraries: readonly Library[], root: string): readonly Package[] {
  const database = join(root, 'var/lib/dpkg')
  const copyrightOf = (name: string): string => join(root, `usr/share/doc/${name}/copyright`)
  const owners = libraries.flatMap(({ source }) => ownersOf(source, root, database))
  const usual =
    owners.length > 0 ? [] : usualPackages.filter((name) => existsSync(copyrightOf(name)))
  return [...new Set([...owners, ...usual])].toSorted().map((owner) => {
    const name = owner.split(':')[0] ?? owner
    const copyright = copyrightOf(name)
    return {
      name,
      status: dpkgQuery(database, ['-s', owner]) || undefined,
      copyright: existsSync(copyright) ? readFileSync(copyright) : undefined,
    }
  })
}

/** dpkg knows a file by the path in its package, which may have `/usr` before it or not. */
function ownersOf(source: string, root: string, database: string): readonly string[] {
  const path = `/${source.slice(realpathSync(root).length).replace(/^\/+/, '')}`
  for (const known of [path, path.replace(/^\/usr/, '')]) {
    const owners = dpkgQuery(database, ['-S', known])
    const owner = /^([^,\n]+?)(?:,.*)?: \//m.exec(owners)?.[1]
    if (owner !== undefined) return [owner]
  }
  return []
}

function dpkgQuery(database: string, words: readonly string[]): string {
  try {
    return execFileSync('dpkg-query', [`--admindir=${database}`, ...words], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'ignore'],
    })
  } catch {
    return '' // of no package
  }
}
