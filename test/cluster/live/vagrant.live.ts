import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { parseAllDocuments } from 'yaml'
import { buildImage, imageName } from '../../../conf/image/build.ts'
import { executable } from '../../support/cni.ts'
import { makeNetns } from '../../support/netns.ts'
import { goEnvironment, versionOf } from '../tools/programs.ts'

// vagrant/ as far as it goes without boxes: Vagrant reads its files, and the provisioning scripts
// run in a plain Debian 12. kubernetes.sh is not run: it takes packages from pkgs.k8s.io.

t.setTimeout(600_000)

/** The release of the cluster's own programs. */
const kubernetes = versionOf('kubernetes', 'k8s.io/kubernetes')
const vagrant = fileURLToPath(new URL('../../../vagrant/', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'tt-vagrant-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

const documentsIn = (path: string): readonly unknown[] =>
  parseAllDocuments(readFileSync(path, 'utf8')).map((document) => document.toJS() as unknown)

t.test('Vagrant finds its files valid', (t) => {
  for (const name of ['.', 'two-nodes']) {
    const project = join(folder, 'project', name)
    cpSync(join(vagrant, name), project, { recursive: true })
    const done = spawnSync('vagrant', ['validate', '--ignore-provider'], {
      cwd: project,
      encoding: 'utf8',
      env: { PATH: process.env.PATH, HOME: folder, VAGRANT_HOME: join(folder, 'home') },
    })
    t.equal(done.status, 0, done.stdout + done.stderr)
  }
  t.end()
})

t.test('the second family of a node is on the link of the first', (t) => {
  const netns = makeNetns('vagrant')
  t.teardown(() => netns.close())
  netns.ip('link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'wire')
  netns.ip('addr', 'add', '192.168.56.11/24', 'dev', 'eth1')
  const words = ['sh', join(vagrant, 'address.sh'), '192.168.56.11', 'fd00:56::11']
  for (const time of ['first', 'second'])
    t.match(netns.exec(words), { code: 0, stderr: '' }, `the ${time} time`)
  t.match(netns.ip('-6', 'addr', 'show', 'dev', 'eth1'), 'inet6 fd00:56::11/64 scope global nodad')
  netns.ip('addr', 'flush', 'dev', 'eth1')
  t.match(netns.exec(words), { code: 1, stderr: /no link has 192\.168\.56\.11/ })
  t.end()
})

/**
 * What a root file system without a machine lacks. Forwarding is set in a namespace that nobody
 * needs; a service is a process.
 */
const standIns: Readonly<Record<string, string>> = {
  sysctl: 'exec unshare --net /usr/sbin/sysctl "$@"',
  systemctl: `
    [ "$1" != restart ] || {
      [ ! -e /run/$2.pid ] || { kill "$(cat /run/$2.pid)"; sleep 1; }
      $2 >/var/log/$2.log 2>&1 & echo $! >/run/$2.pid; }`,
  kubeadm: 'echo "$@" >>/var/log/kubeadm.log',
}

t.test('a plain Debian becomes a node, twice the same', (t) => {
  const root = join(folder, 'root')
  const include = ['--variant=minbase', '--include=ca-certificates,iproute2,procps']
  execFileSync('mmdebstrap', [...include, 'bookworm', root], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  for (const [name, text] of Object.entries(standIns)) {
    const path = join(root, 'usr/local/sbin', name)
    writeFileSync(path, `#!/bin/sh\n${text}\n`)
    chmodSync(path, 0o755)
  }
  mkdirSync(join(root, 'vagrant/dist'), { recursive: true })
  cpSync(vagrant, join(root, 'vagrant/vagrant'), { recursive: true })
  cpSync(executable, join(root, 'vagrant/dist/tulle'))
  const archive = buildImage({ executable, root: '/', name: imageName() })
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch
  writeFileSync(join(root, `vagrant/dist/tulle-image-0-${architecture}.tar`), archive)
  const done = inside(root, [
    'sh /vagrant/vagrant/node.sh',
    'sh /vagrant/vagrant/node.sh',
    'ctr -n k8s.io images ls -q',
    '/usr/local/bin/tulle --version',
    'mkdir -p /etc/kubernetes',
    'sh /vagrant/vagrant/worker.sh 192.168.56.11 fd00:56::11',
  ])
  t.equal(done.status, 0, done.stdout + done.stderr)
  t.match(done.stdout, `${imageName()}\n`)
  t.match(done.stdout, /^tulle \d/m)
  t.ok(existsSync(join(root, 'usr/bin/containerd')))
  t.match(readFileSync(join(root, 'var/log/kubeadm.log'), 'utf8'), 'join --config /etc/kubernetes')
  const [worker] = documentsIn(join(root, 'etc/kubernetes/worker.yaml'))
  t.match(worker, {
    nodeRegistration: { kubeletExtraArgs: [{ value: '192.168.56.11,fd00:56::11' }] },
  })
  t.end()
})

/** One script in the root file system, with mounts and processes that end with it. */
function inside(root: string, lines: readonly string[]) {
  const prepare = [
    'set -eu',
    `mount --bind ${root} ${root}`,
    `mount -t proc proc ${root}/proc`,
    `mount -t tmpfs tmpfs ${root}/run`,
    `mount --rbind /dev ${root}/dev`,
    `cp /etc/resolv.conf ${root}/etc/resolv.conf`,
    `exec chroot ${root} sh -euc "$1"`,
  ]
  const spaces = ['--mount', '--pid', '--fork', '--kill-child']
  const words = ['sh', '-c', prepare.join('\n'), 'sh', lines.join('\n')]
  return spawnSync('unshare', [...spaces, ...words], {
    encoding: 'utf8',
    env: { PATH: '/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' },
    maxBuffer: 1 << 26,
  })
}

t.test('workers know the control plane and its token', (t) => {
  const [init] = documentsIn(join(vagrant, 'control-plane.yaml'))
  const [worker] = documentsIn(join(vagrant, 'worker.yaml'))
  const { bootstrapTokens, localAPIEndpoint } = init as {
    readonly bootstrapTokens: readonly [{ readonly token: string }]
    readonly localAPIEndpoint: { readonly advertiseAddress: string }
  }
  t.match(worker, {
    discovery: {
      bootstrapToken: {
        token: bootstrapTokens[0].token,
        apiServerEndpoint: `${localAPIEndpoint.advertiseAddress}:6443`,
      },
    },
  })
  t.end()
})

t.test('kubeadm finds its configuration valid', (t) => {
  const kubeadm = join(folder, 'kubeadm')
  const version = `-X k8s.io/component-base/version.gitVersion=${kubernetes}`
  execFileSync('go', ['build', '-ldflags', `-s -w ${version}`, '-o', kubeadm, '.'], {
    cwd: fileURLToPath(new URL('../../peers/kubeadm', import.meta.url)),
    env: goEnvironment(),
  })
  for (const name of ['control-plane', 'worker']) {
    const text = readFileSync(join(vagrant, `${name}.yaml`), 'utf8')
    const path = join(folder, `${name}.yaml`)
    writeFileSync(path, text.replace('NODE_ADDRESSES', '192.168.56.11,fd00:56::11'))
    const done = spawnSync(kubeadm, ['config', 'validate', '--config', path], { encoding: 'utf8' })
    t.equal(done.status, 0, done.stderr)
  }
  t.end()
})
