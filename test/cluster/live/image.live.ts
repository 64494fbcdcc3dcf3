import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { buildImage, imageName } from '../../../conf/image/build.ts'
import { confPath } from '../../conf/pod-container.ts'
import { executable } from '../../support/cni.ts'

// The Dockerfile, built by podman upon a Debian 12 that is made here, holds what
// conf/image/build.ts makes: the same files with the same bytes.

t.setTimeout(600_000)

const folder = mkdtempSync(join(tmpdir(), 'tt-image-'))
const store = ['--root', join(folder, 'root'), '--runroot', join(folder, 'run')]
const podman = ['podman', ...store, '--storage-driver', 'vfs']
t.teardown(() => {
  spawnSync('podman', [...podman.slice(1), 'system', 'reset', '--force'])
  rmSync(folder, { recursive: true, force: true })
})

function run(argv: readonly string[], cwd = folder): string {
  const [file = '', ...words] = argv
  const done = spawnSync(file, words, { cwd, encoding: 'utf8', maxBuffer: 1 << 26 })
  if (done.status !== 0) throw new Error(`${argv.join(' ')}: ${done.stderr}`)
  return done.stdout
}

/** Of every file of an image: mode, sum and path. */
function filesOf(image: string, name: string): string {
  const root = join(folder, name)
  mkdirSync(root)
  const container = run([...podman, 'create', image]).trim()
  run([...podman, 'export', '--output', `${root}.tar`, container])
  run(['tar', '-xpf', `${root}.tar`, '-C', root])
  run([...podman, 'rm', container])
  const list =
    "find . -type f -printf '%m %p\\n' | sort -k2 && find . -type f | sort | xargs sha256sum"
  return run(['sh', '-euc', list], root)
}

t.test('the Dockerfile and the script make the same image', (t) => {
  run(['mmdebstrap', '--variant=minbase', 'bookworm', join(folder, 'debian.tar')])
  run([...podman, 'import', join(folder, 'debian.tar'), 'docker.io/library/debian:12-slim'])
  mkdirSync(join(folder, 'context/dist'), { recursive: true })
  run(['cp', executable, join(folder, 'context/dist/tulle')])
  const words = ['--network=none', '--pull=never', '-f', confPath('image/Dockerfile')]
  run([...podman, 'build', ...words, '-t', 'localhost/by-dockerfile', join(folder, 'context')])

  const root = join(folder, 'debian')
  mkdirSync(root)
  run(['tar', '-xpf', join(folder, 'debian.tar'), '-C', root, '--exclude=./dev/*'])
  writeFileSync(join(folder, 'image.tar'), buildImage({ executable, root, name: imageName() }))
  run([...podman, 'load', '--input', join(folder, 'image.tar')])
  t.equal(filesOf('localhost/by-dockerfile', 'theirs'), filesOf(imageName(), 'ours'))
  const configOf = (image: string) => {
    const [{ Config, Architecture }] = JSON.parse(run([...podman, 'image', 'inspect', image])) as [
      { readonly Config: Readonly<Record<string, unknown>>; readonly Architecture: string },
    ]
    const { Entrypoint, Cmd, Env } = Config
    return { Entrypoint, Cmd, Env, Architecture }
  }
  t.same(configOf('localhost/by-dockerfile'), configOf(imageName()))
  t.end()
})
