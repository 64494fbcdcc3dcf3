// Upstream's own library drives the packaged executable: what it sends, caches and refuses is
// libcni's (github.com/containernetworking/cni, pinned in libcni/go.mod), not our reading of it.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { versions } from '../support/cni.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import { type Answer, buildDriver, type Call, drive } from './libcni-driver.ts'
import * as network from './network.ts'
import { type Mode, modes } from './network.ts'

t.setTimeout(240_000)

const directory = mkdtempSync(join(tmpdir(), 'tt-libcni-'))
t.teardown(() => rmSync(directory, { recursive: true, force: true }))
const driver = buildDriver(join(directory, 'driver'))
const pluginDir = network.writePluginDir(directory, { debian: ['tuning'] })

type Result = Readonly<{
  cniVersion: string
  interfaces: readonly Readonly<{ name: string; mac?: string; mtu?: number; sandbox?: string }>[]
  ips: readonly Readonly<{ address: string; gateway?: string; interface?: number }>[]
}>
type Options = Readonly<{ cacheDir?: string; order?: 'together'; chained?: true }>
type Runtime = (calls: readonly Call[], options?: Options) => readonly Answer[]

function runtimeOn(
  host: Host,
  cniVersion: string,
  mode: Mode,
  more: Pick<network.Network, 'rangeEnd'> = {},
): Runtime {
  const base = { cniVersion, mode, dataDir: host.dataDir, plugin: { capabilities }, ...more }
  return (calls, { cacheDir = join(host.directory, 'cache'), order, chained } = {}) => {
    const tuning = { type: 'tuning', sysctl: { 'net.ipv4.conf.eth0.arp_announce': '2' } }
    const conflist = network.conflist(chained ? { ...base, chained: [tuning] } : base)
    const job = { node: host.netns, pluginDir, cacheDir, conflist, calls }
    return drive(driver, order === undefined ? job : { ...job, order })
  }
}
const capabilities = { ips: true, mac: true }

function about({ container, netns, ifname }: Pod): Pick<Call, 'container' | 'netns' | 'ifname'> {
  return { container, netns: netns.path, ifname }
}

function errorsOf(answers: readonly Answer[]): readonly unknown[] {
  return answers.flatMap(({ do: verb, error }) => (error === undefined ? [] : [[verb, error]]))
}

const codeOf = ({ error }: Answer): number | undefined => error?.code

/** The one answer of one call, whose refusal ends the test with libcni's text. */
function only<T>(answers: readonly Answer[]): T {
  const [first] = answers
  if (first?.error !== undefined) throw new Error(`${first.do}: ${first.error.text}`)
  return first?.answer as T
}

/** The kernel's word: global addresses on the pod's interface. */
function observedAddresses({ netns, ifname }: Pod): readonly string[] {
  const [link] = netns.ipJson('addr', 'show', 'dev', ifname, 'scope', 'global')
  const infos = (link?.addr_info ?? []) as { local?: string; prefixlen: number }[]
  return infos.flatMap(({ local, prefixlen }) => (local ? [`${local}/${prefixlen}`] : [])).sort()
}

const isGone = ({ netns }: Pod): boolean => netns.ipJson('link').length === 1

function checkReach(test: Test, pod: Pod, peerAddresses: readonly string[]): void {
  const exec = (argv: readonly string[]) => pod.netns.exec(argv)
  const targets = [...network.beyondThePod, ...peerAddresses]
  test.same(network.lostPings(exec, targets), [], 'reaches host, outside and the other pod')
}

/** Lends a host and checks afterwards that it is as it was. */
async function withCleanHost(test: Test, use: (host: Host) => void): Promise<void> {
  await withHost((host) => {
    const before = network.stateOf(host.netns)
    use(host)
    test.same(network.stateOf(host.netns), before, 'nothing is left on the host')
    test.equal(network.heldAddresses(host.dataDir), 0, 'no lease is left')
  })
}

for (const cniVersion of ['0.3.1', '0.4.0', '1.0.0', '1.1.0']) {
  for (const mode of modes) {
    t.test(`a pod's life, CNI ${cniVersion}, ${mode}`, (test) =>
      withCleanHost(test, (host) => life(test, host, cniVersion, mode)),
    )
  }
}

function life(test: Test, host: Host, cniVersion: string, mode: Mode): void {
  const perform = runtimeOn(host, cniVersion, mode)
  const [a, b] = [host.pod(), host.pod()]
  test.same(
    only<string[]>(perform([{ do: 'validate' }])).toSorted(),
    ['ips', 'mac'],
    'the list is valid and has its capabilities',
  )
  test.same(errorsOf(perform([{ do: 'status' }])), [], 'STATUS: ready')

  const added = perform([
    { do: 'add', ...about(a) },
    { do: 'add', ...about(b) },
  ])
  test.same(errorsOf(added), [], 'both pods are added')
  const [ofA, ofB] = added.map(({ answer }) => answer as Result)
  if (ofA === undefined || ofB === undefined) throw new Error('An answer is missing')
  test.equal(ofA.cniVersion, cniVersion)
  test.same(ofA.ips.map(({ address }) => address).toSorted(), observedAddresses(a))
  test.same(ofB.ips.map(({ address }) => address).toSorted(), observedAddresses(b))
  test.same(
    ofA.ips.map((ip) => ofA.interfaces[ip.interface ?? -1]?.sandbox),
    [a.netns.path, a.netns.path],
    'addresses belong to the interface in the pod',
  )

  const addressesOfB = network.bare(observedAddresses(b))
  checkReach(test, a, addressesOfB)
  test.same(
    network.lostPings((argv) => host.netns.exec(argv), addressesOfB),
    [],
    'the host reaches a pod',
  )

  test.same(only(perform([{ do: 'cached-result', ...about(a) }])), ofA, "libcni's cache has it")
  const again = perform([{ do: 'add', ...about(a) }])
  test.equal(again[0]?.error?.code, 101, 'a second ADD is refused')
  checkReach(test, a, [])

  const checked = perform([
    { do: 'check', ...about(a) },
    { do: 'check', ...about(b) },
  ])
  if (cniVersion === '0.3.1') {
    test.match(checked[0]?.error?.text, /does not support the CHECK command/, "libcni's own no")
  } else {
    test.same(errorsOf(checked), [], 'CHECK finds both as they were made')
    b.netns.ip('route', 'flush', 'default')
    const tampered = perform([{ do: 'check', ...about(b) }])
    test.equal(tampered[0]?.error?.code, 104, 'CHECK finds that a route is missing')
  }

  const deleted = perform([
    { do: 'del', ...about(a) },
    { do: 'del', ...about(a) },
    { do: 'del', ...about(b), netns: '' },
    { do: 'del', ...about(b), netns: '' },
  ])
  test.same(errorsOf(deleted), [], 'DEL twice, with and without the namespace')
  test.ok(isGone(a) && isGone(b), 'the interfaces are gone')
  test.same(only(perform([{ do: 'cached-attachments' }])) ?? [], [], 'the cache is empty')
}

for (const mode of modes) {
  t.test(`garbage collection by the runtime's list, ${mode}`, (test) =>
    withCleanHost(test, (host) => collection(test, host, mode)),
  )
}

function collection(test: Test, host: Host, mode: Mode): void {
  const perform = runtimeOn(host, '1.1.0', mode)
  // A runtime that lost its cache: libcni then sends no DEL of its own, only the plugin collects.
  const amnesiac = { cacheDir: join(host.directory, 'other-cache') }
  const [kept, stale] = [host.pod(), host.pod()]
  const adds = [kept, stale].map((pod): Call => ({ do: 'add', ...about(pod) }))
  const valid = [{ containerID: kept.container, ifname: kept.ifname }]
  const attached = (): readonly boolean[] => [kept, stale].map((pod) => !isGone(pod))

  test.same(errorsOf(perform(adds)), [])
  test.same(errorsOf(perform([{ do: 'gc', valid }], amnesiac)), [], 'GC succeeds')
  test.same(attached(), [true, false], 'the listed pod stays, the other goes')
  checkReach(test, kept, [])
  test.same(errorsOf(perform([{ do: 'check', ...about(kept) }])), [], 'CHECK agrees')

  const unlisted = perform([{ do: 'gc' }], amnesiac)
  test.equal(unlisted[0]?.error?.code, 7, 'GC without any list is refused')
  test.same(attached(), [true, false], 'and touches nothing')

  test.same(errorsOf(perform([{ do: 'gc', valid: [] }], amnesiac)), [])
  test.same(attached(), [false, false], 'an empty list collects every pod')

  const returned = host.pod()
  test.same(errorsOf(perform([{ do: 'add', ...about(returned) }])), [])
  test.same(errorsOf(perform([{ do: 'gc', valid: [] }])), [], "libcni's DELs, then GC")
  test.ok(isGone(returned))
}

for (const mode of modes) {
  t.test(`twelve pods at once, ${mode}`, (test) =>
    withCleanHost(test, (host) => {
      const perform = runtimeOn(host, '1.0.0', mode)
      const pods = Array.from({ length: 12 }, () => host.pod())
      const together = { order: 'together' } as const
      const all = (verb: 'add' | 'check' | 'del') =>
        errorsOf(
          perform(
            pods.map((pod): Call => ({ do: verb, ...about(pod) })),
            together,
          ),
        )

      test.same(all('add'), [], 'all are added')
      const addresses = pods.map((pod) => network.bare(observedAddresses(pod)))
      test.equal(new Set(addresses.flat()).size, 24, 'no address is given twice')
      const lost = pods.map((pod, i) =>
        network.lostPings((argv) => pod.netns.exec(argv), addresses[(i + 1) % 12] ?? []),
      )
      test.same(lost.flat(), [], 'each reaches the next')
      test.same(all('check'), [])
      test.same(all('del'), [])
      test.ok(pods.every(isGone))
    }),
  )
}

for (const [cniVersion, mode] of [
  ['0.1.0', 'routed'],
  ['0.2.0', 'bridge'],
  ['0.3.0', 'routed'],
] as const) {
  t.test(`old CNI ${cniVersion}, ${mode}: added, reachable, deleted`, (test) =>
    withCleanHost(test, (host) => {
      const perform = runtimeOn(host, cniVersion, mode)
      const pod = host.pod()
      const result = only<Record<string, unknown>>(perform([{ do: 'add', ...about(pod) }]))
      test.equal(result.cniVersion, cniVersion)
      const flat = cniVersion === '0.3.0' ? ['interfaces', 'ips'] : ['ip4', 'ip6']
      test.same(
        flat.filter((key) => key in result),
        flat,
        'the shape of that version',
      )
      checkReach(test, pod, [])
      test.same(errorsOf(perform([{ do: 'del', ...about(pod) }])), [])
    }),
  )
}

for (const mode of modes) {
  t.test(`asked address and MAC, a plugin chained behind, ${mode}`, (test) =>
    withCleanHost(test, (host) => {
      const perform = runtimeOn(host, '1.0.0', mode)
      const pod = host.pod()
      const asked = { ips: ['10.77.0.77', 'fd77::77'], mac: '0a:58:0a:4d:00:4d' }
      const call = { ...about(pod), capabilities: asked }
      const chained = { chained: true } as const
      const result = only<Result>(perform([{ do: 'add', ...call }], chained))
      test.same(network.bare(observedAddresses(pod)), asked.ips)
      test.equal(result.interfaces.find(({ sandbox }) => sandbox)?.mac, asked.mac)
      test.equal(pod.netns.ipJson('link', 'show', 'dev', 'eth0')[0]?.address, asked.mac)
      const sysctl = ['sysctl', '-n', 'net.ipv4.conf.eth0.arp_announce']
      test.equal(pod.netns.exec(sysctl).stdout.trim(), '2', 'the chained plugin took our result')
      test.same(errorsOf(perform([{ do: 'check', ...call }], chained)), [])
      test.same(errorsOf(perform([{ do: 'del', ...call }], chained)), [])
    }),
  )
}

t.test('STATUS: 50 while the pool is full, and only then', async (test) =>
  withCleanHost(test, (host) => {
    const perform = runtimeOn(host, '1.1.0', 'routed', { rangeEnd: '10.77.0.2' })
    const pod = host.pod()
    const status = (): readonly unknown[] => perform([{ do: 'status' }]).map(codeOf)
    test.same(status(), [undefined])
    test.same(errorsOf(perform([{ do: 'add', ...about(pod) }])), [])
    test.same(status(), [50])
    const late = perform([{ do: 'add', ...about(host.pod()) }])
    test.same(late.map(codeOf), [102], 'and an ADD says so too')
    test.same(errorsOf(perform([{ do: 'del', ...about(pod) }])), [])
    test.same(status(), [undefined])
  }),
)

t.test('GetVersionInfo: every version of the specification', async (test) =>
  withHost((host) => {
    const [answer] = runtimeOn(host, '1.1.0', 'routed')([{ do: 'version', plugin: 'tulle' }])
    test.same(answer, { do: 'version', answer: versions })
  }),
)
