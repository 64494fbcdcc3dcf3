import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** A slow mirror is given up after this time. */
const fetchSecondsMax = 180

export type Unpacked = { readonly root: string; readonly version: string }

/**
 * Unpacks a package of another Debian release without touching the system: apt with directories
 * of its own, the mirror that the machine's sources already name, `dpkg-deb -x`. Kept below the
 * system's temporary directory for the next run.
 */
export async function unpackFrom(suite: string, name: string): Promise<Unpacked> {
  const cache = ownDirectory(join(tmpdir(), `tulle-bench-${process.getuid?.() ?? 0}`))
  const root = join(cache, `${name}-${suite}`)
  const done = join(cache, `${name}-${suite}.deb`)
  if (!existsSync(done)) await fetchInto(cache, root, done, suite, name)
  const version = await say('dpkg-deb', ['-f', done, 'Version'])
  return { root, version: upstreamVersion(version.trim()) }
}

/** 1.9.1+ds1-3 is 1.9.1 of upstream. */
export const upstreamVersion = (version: string): string =>
  version
    .trim()
    .replace(/^\d+:/, '')
    .replace(/[+-].*$/, '')

/** A path below a directory that all may write to must be ours before anything in it is run. */
function ownDirectory(path: string): string {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  const found = statSync(path)
  if (found.uid !== process.getuid?.() || (found.mode & 0o022) !== 0)
    throw new Error(`${path} can be written by others; remove it`)
  return path
}

async function fetchInto(
  cache: string,
  root: string,
  done: string,
  suite: string,
  name: string,
): Promise<void> {
  const apt = join(cache, `apt-${suite}`)
  try {
    const options = makeAptDirectories(apt, suite, await findMirror())
    await say('apt-get', [...options, '-q', 'update'])
    await say('apt-get', [...options, '-q', 'download', name], join(apt, 'downloads'))
    const file = readdirSync(join(apt, 'downloads')).find((entry) => entry.endsWith('.deb'))
    if (file === undefined) throw new Error(`apt-get download ${name} brought no file`)
    rmSync(root, { recursive: true, force: true })
    await say('dpkg-deb', ['-x', join(apt, 'downloads', file), root])
    // Last, so that a fetch that was cut short is done again.
    await say('cp', [join(apt, 'downloads', file), done])
  } finally {
    rmSync(apt, { recursive: true, force: true })
  }
}

async function findMirror(): Promise<string> {
  const format = '$(REPO_URI) $(LABEL) $(COMPONENT)'
  const lines = await say('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'])
  const line = lines.split('\n').find((one) => one.endsWith(' Debian main'))
  if (line === undefined) throw new Error('apt knows no Debian mirror (apt-get update helps)')
  return line.split(' ')[0]!
}

function makeAptDirectories(apt: string, suite: string, mirror: string): readonly string[] {
  for (const path of ['lists/partial', 'cache/archives/partial', 'sources', 'downloads'])
    mkdirSync(join(apt, path), { recursive: true })
  writeFileSync(join(apt, 'status'), '')
  writeFileSync(
    join(apt, 'sources/one.sources'),
    `Types: deb\nURIs: ${mirror}\nSuites: ${suite}\nComponents: main\n` +
      'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n',
  )
  const settings = {
    'Dir::Etc::sourcelist': '/dev/null',
    'Dir::Etc::sourceparts': join(apt, 'sources'),
    'Dir::State::Lists': join(apt, 'lists'),
    'Dir::State::status': join(apt, 'status'),
    'Dir::Cache': join(apt, 'cache'),
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
    // A mirror's snapshot of sid may be past the date until which its Release file vouches.
    'Acquire::Check-Valid-Until': 'false',
  }
  return Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`])
}

async function say(file: string, words: readonly string[], cwd = '/'): Promise<string> {
  const options = { cwd, timeout: fetchSecondsMax * 1000, maxBuffer: 64 * 1024 * 1024 }
  const { stdout } = await execute(file, [...words], options)
  return stdout
}
