import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { buildImage, imageName } from '../../conf/image/build.ts'
import { architectureOf, librariesOf } from '../../conf/image/libraries.ts'
import { tarArchive } from '../../conf/image/tar-archive.ts'
import { executable } from '../support/cni.ts'
import { run } from '../support/netns.ts'
import { confPath, unpackImage } from './pod-container.ts'

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

test('the same input gives the same bytes', (t) => {
  const [first, second] = [0, 1].map(() =>
    buildImage({ executable, root: '/', name: imageName() }),
  ) as [Buffer, Buffer]
  t.equal(sha256(first), sha256(second))
  t.end()
})

test('its libraries are those that ldd names', (t) => {
  const listed = execFileSync('ldd', [executable], { encoding: 'utf8' })
  const names = [...listed.matchAll(/(\S+\.so\S*) (?:=>|\()/g)].map(([, path = '']) =>
    path.split('/').at(-1),
  )
  const wanted = [...new Set(names)].filter((name) => name !== 'linux-vdso.so.1').toSorted()
  const found = librariesOf(executable, '/').map(({ path }) => path.split('/').at(-1))
  t.same(found.toSorted(), wanted)
  t.end()
})

test('it runs from its own root alone, and has every licence', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tt-image-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  unpackImage(folder)
  const root = join(folder, 'rootfs')
  const { code, stdout, stderr } = run(['chroot', root, '/usr/bin/tulle', '--version'])
  t.equal(code, 0, stderr)
  t.match(stdout, /tulle/)
  for (const name of ['libc6', 'libgcc-s1', 'libstdc++6']) {
    t.match(readFileSync(join(root, 'usr/share/doc', name, 'copyright'), 'utf8'), /GPL/)
    t.match(readFileSync(join(root, 'var/lib/dpkg/status.d', name), 'utf8'), `Package: ${name}\n`)
  }
  t.end()
})

test('podman and containerd can read the archive', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tt-image-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const archive = join(folder, 'image.tar')
  writeFileSync(archive, buildImage({ executable, root: '/', name: imageName() }))
  const store = ['--root', join(folder, 'root'), '--runroot', join(folder, 'run')]
  const podman = ['podman', ...store, '--storage-driver', 'vfs']
  const loaded = run([...podman, 'load', '--input', archive])
  t.match(loaded.stdout, imageName(), loaded.stderr)
  const { stdout } = run([...podman, 'image', 'inspect', imageName()])
  const architecture = architectureOf(executable)
  t.match(JSON.parse(stdout), [{ Architecture: architecture, Os: 'linux' }])
  run([...podman, 'rmi', '--all', '--force'])
  t.end()
})

test('the Dockerfile copies the same libraries', (t) => {
  const text = readFileSync(confPath('image/Dockerfile'), 'utf8')
  for (const { path } of librariesOf(executable, '/')) t.match(text, path.split('/').at(-1))
  t.end()
})

test('an archive as tar itself reads it', (t) => {
  const archive = tarArchive([
    { kind: 'folder', path: 'a', mode: 0o1777 },
    { kind: 'file', path: 'a/b', mode: 0o600, bytes: Buffer.from('x'.repeat(513)) },
  ])
  const listed = run(['tar', '--utc', '-tvf', '-'], { input: archive })
  t.equal(listed.stderr, '')
  t.match(
    listed.stdout,
    /^drwxrwxrwt 0\/0 +0 1970-01-01 00:00 a\/\n-rw------- 0\/0 +513 .* a\/b\n$/,
  )
  t.throws(() => tarArchive([{ kind: 'folder', path: 'x'.repeat(100), mode: 0o755 }]), /100 bytes/)
  t.end()
})
