import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The packaged executable under test; TULLE_EXECUTABLE overrides it. */
export const executablePath =
  process.env.TULLE_EXECUTABLE ?? fileURLToPath(new URL('../../dist/tulle', import.meta.url))

/** Where the launchers of this test run are, until it ends. */
export const launchersFolder = (): string => {
  made ??= makeFolder()
  return made
}
let made: string | undefined

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tt-warm-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  const source = fileURLToPath(new URL('witness.c', import.meta.url))
  execFileSync('gcc', ['-O1', '-Wall', '-Werror', '-o', join(folder, 'witness'), source])
  return folder
}

export type LauncherBuild = 'own' | 'other'

/**
 * A folder with the launcher as `tulle`, which asks at `cni.sock` there, and beside it what it
 * starts instead: `started` then has a line for each.
 */
export class LauncherFile {
  readonly folder: string
  readonly path: string
  readonly socket: string

  constructor(build: LauncherBuild = 'own') {
    this.folder = mkdtempSync(join(launchersFolder(), 'n-'))
    this.path = join(this.folder, 'tulle')
    this.socket = join(this.folder, 'cni.sock')
    const beside = join(this.folder, '.tulle')
    mkdirSync(beside)
    const witness = readFileSync(join(launchersFolder(), 'witness'))
    writeFileSync(join(beside, 'tulle'), witness, { mode: 0o755 })
    symlinkSync(executablePath, join(beside, 'node'))
    const launcher = readFileSync(join(dirname(executablePath), 'launcher'))
    const bytes = build === 'own' ? launcher : ofOtherBuild(launcher)
    const places = [join(beside, 'tulle'), this.socket]
    writeFileSync(this.path, withPlaces(bytes, places), { mode: 0o755 })
  }

  /** Of those, the calls that a server had let in: begun and not ended, or left to Node. */
  repeated(): readonly string[] {
    return this.started().filter((line) => line.endsWith(' 1'))
  }

  /** "ADD tulle 1" for every Node that a launcher here has started. */
  started(): readonly string[] {
    try {
      return readFileSync(join(this.folder, '.tulle/started'), 'utf8').trim().split('\n')
    } catch (refusal) {
      if ((refusal as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw refusal
    }
  }
}

/** The marker's 64 bytes, then two fields of 256 (kernel/native/launcher.h). */
function withPlaces(launcher: Buffer, places: readonly string[]): Buffer {
  const mark = /CNI tulle plugin v[^\0 ]+ launcher\0/.exec(launcher.toString('latin1'))
  if (!mark) throw new Error('Cannot write paths into the launcher: it has no marker')
  const bytes = Buffer.from(launcher)
  for (const [at, place] of places.entries())
    bytes.write(place.padEnd(256, '\0'), mark.index + 64 + at * 256)
  return bytes
}

/** As another version's: only the digest in its name differs. */
function ofOtherBuild(launcher: Buffer): Buffer {
  const header = /tulle-cni 1 \S+\+([0-9a-f]{12}) /.exec(launcher.toString('latin1'))
  if (!header?.[1]) throw new Error('Cannot change the build of the launcher: it names none')
  const bytes = Buffer.from(launcher)
  bytes.write('0'.repeat(12), header.index + header[0].length - 13)
  return bytes
}
