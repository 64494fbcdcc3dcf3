import { chmodSync, existsSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { runLater } from '../../support/netns.ts'

/** Folder of the Go modules that pin what a cluster is made of. */
export const modulesDir = import.meta.dirname
export const modules = ['kubernetes', 'containerd'] as const

export type Program = Readonly<{
  name: string
  module: (typeof modules)[number]
  package: string
  /** A package of tests, which `go test -c` makes a program of. */
  tests?: true
  /** Other names that it is called by. */
  links?: readonly string[]
}>

const containerd = 'github.com/containerd/containerd/v2/cmd'

/** In the order in which they are built: the first pays for what all of them share. */
export const programs: readonly Program[] = [
  {
    name: 'kube',
    module: 'kubernetes',
    package: './kube',
    links: [
      'kube-apiserver',
      'kube-controller-manager',
      'kube-proxy',
      'kube-scheduler',
      'kubectl',
      'kubelet',
    ],
  },
  { name: 'etcd', module: 'kubernetes', package: 'go.etcd.io/etcd/server/v3' },
  { name: 'coredns', module: 'kubernetes', package: './coredns' },
  { name: 'containerd', module: 'containerd', package: `${containerd}/containerd` },
  {
    name: 'containerd-shim-runc-v2',
    module: 'containerd',
    package: `${containerd}/containerd-shim-runc-v2`,
  },
  { name: 'ctr', module: 'containerd', package: `${containerd}/ctr` },
  { name: 'agnhost', module: 'kubernetes', package: 'k8s.io/kubernetes/test/images/agnhost' },
  { name: 'e2e.test', module: 'kubernetes', package: './e2e', tests: true },
  { name: 'ginkgo', module: 'kubernetes', package: 'github.com/onsi/ginkgo/v2/ginkgo' },
  { name: 'helm', module: 'kubernetes', package: 'helm.sh/helm/v3/cmd/helm' },
]

/** File systems that no node of ours has; each would bring its library. */
const tags = 'no_btrfs,no_zfs,no_devmapper,no_aufs'

const buildMinutesMax = 30

/** The version of a required module, "v1.36.3"; throws if the module does not require it. */
export function versionOf(module: Program['module'], required: string): string {
  const lines = readFileSync(join(modulesDir, module, 'go.mod'), 'utf8').split('\n')
  for (const line of lines) {
    const [name, version] = line
      .replace(/^require/, '')
      .trim()
      .split(' ')
    if (name === required && version?.startsWith('v')) return version
  }
  throw new Error(`${module}/go.mod does not require ${required}`)
}

/** Go's environment: the module's own toolchain where the installed one is older, and no C. */
export const goEnvironment = (): Readonly<Record<string, string>> => ({
  ...(process.env as Record<string, string>),
  CGO_ENABLED: '0',
  GOFLAGS: '-buildvcs=false -mod=readonly -trimpath',
  GOTOOLCHAIN: 'auto',
  GOWORK: 'off',
})

/** Builds one program into a folder, where it stands under its names only when it is whole. */
export async function buildProgram(program: Program, folder: string): Promise<void> {
  const path = join(folder, program.name)
  const unfinished = `${path}.unfinished`
  const verb = program.tests ? ['test', '-c'] : ['build']
  const options = ['-tags', tags, '-ldflags', linkerFlags(), '-o', unfinished]
  const done = await runLater(
    ['go', '-C', join(modulesDir, program.module), ...verb, ...options, program.package],
    { env: goEnvironment(), timeoutMs: buildMinutesMax * 60_000 },
  )
  if (done.code !== 0) {
    rmSync(unfinished, { force: true })
    // killed, Go says nothing; what it compiled is kept in its own cache
    const words = lastLines(done.stderr) || `not done after ${buildMinutesMax} minutes`
    throw new Error(`Cannot build ${program.name} with Go: ${words}`)
  }
  chmodSync(unfinished, 0o755)
  for (const link of program.links ?? []) {
    if (!existsSync(join(folder, link))) symlinkSync(program.name, join(folder, link))
  }
  renameSync(unfinished, path)
}

/** No symbols, and the versions that a release's own build would write into the programs. */
function linkerFlags(): string {
  const kubernetes = versionOf('kubernetes', 'k8s.io/kubernetes')
  const [major, minor] = kubernetes.slice(1).split('.')
  const facts = {
    gitVersion: kubernetes,
    gitMajor: major,
    gitMinor: minor,
    gitTreeState: 'clean',
  }
  const stamps = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'].flatMap((name) =>
    Object.entries(facts).map(([fact, value]) => `${name}.${fact}=${value}`),
  )
  const ofContainerd = versionOf('containerd', 'github.com/containerd/containerd/v2')
  stamps.push(`github.com/containerd/containerd/v2/version.Version=${ofContainerd}`)
  return ['-s', '-w', ...stamps.map((stamp) => `-X ${stamp}`)].join(' ')
}

const lastLines = (text: string): string => text.trim().split('\n').slice(-20).join('\n')
