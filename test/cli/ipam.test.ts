import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { added, addressesOf, deleted, netconf } from '../support/attachment.ts'
import { call, type Json } from '../support/cni.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import type { Ran } from '../support/netns.ts'
import { referenceDirectory } from '../support/reference.ts'
import { tool, toolJson } from './tool.ts'

t.setTimeout(240_000)

type Listed = Readonly<{
  isCurrent: boolean
  leases: readonly Readonly<{ network: string; address: string; container: string }>[]
  pools: readonly Readonly<{ network: string; pool: string; held: number; addresses: string }>[]
}>

const conf = (host: Host, ipam: Json = {}): Json =>
  netconf(host, { mode: 'routed', version: '1.0.0', families: 'dual', ipam })

/** Debian's host-local itself, on the files that were exported. */
const reference = (
  host: Host,
  verb: 'ADD' | 'DEL',
  asked: Readonly<{ container: string; to: string; args?: string; ipam?: Json }>,
): Ran => {
  const { container, to, args, ipam } = asked
  const network = conf(host, { dataDir: to, ...ipam })
  return call({
    verb,
    conf: network,
    node: host.netns,
    container,
    netns: '/run/netns/unused',
    ifname: 'eth0',
    path: referenceDirectory,
    plugin: `${referenceDirectory}/host-local`,
    ...(args === undefined ? {} : { args }),
  })
}

const bare = (result: Parameters<typeof addressesOf>[0]): readonly string[] =>
  addressesOf(result).map((address) => address.replace(/\/\d+$/, ''))

const listed = (host: Host, ...words: string[]): Listed =>
  toolJson<Listed>(['ipam', 'list', '--data-dir', host.dataDir, ...words], host.netns)

const exported = (host: Host, to: string): Ran =>
  tool(['ipam', 'export', '--network', 'net', '--data-dir', host.dataDir, '--to', to], host.netns)

t.test('list: who holds what', (t) =>
  withHost((host) => {
    const pods = [host.pod(), host.pod()]
    const results = pods.map((pod) => added(pod, conf(host)))
    const other = host.pod()
    added(other, {
      ...conf(host),
      name: 'other',
      ipam: { ...Object(conf(host).ipam), ranges: [[{ subnet: '10.78.0.0/24' }]] },
    })
    const { isCurrent, leases, pools } = listed(host)
    t.equal(isCurrent, true)
    t.equal(leases.length, 5)
    for (const [at, pod] of pods.entries()) {
      const own = leases.filter(({ container }) => container === pod.container)
      t.same(own.map(({ address }) => address).sort(), [...bare(results[at]!)].sort())
    }
    t.match(
      pools.find(({ pool }) => pool.startsWith('10.77.')),
      { network: 'net', held: 2, addresses: '254' },
    )
    t.same(
      listed(host, '--network', 'other').leases.map(({ container }) => container),
      [other.container],
    )
    const { stdout } = tool(['ipam', 'list', '--data-dir', host.dataDir], host.netns)
    t.match(stdout, /^NETWORK +ADDRESS +CONTAINER +IFNAME +POOL\n/)
    t.notMatch(stdout, '\u001b', 'no colour in a pipe')
    t.match(stdout, /^net {4}10\.77\.0\.1-10\.77\.0\.254 +2 of 254 held$/m)
    for (const { address, container } of leases)
      t.match(stdout, new RegExp(`^\\w+ +${address} +${container} +eth0 `, 'm'))
    deleted(other, { ...conf(host), name: 'other' })
    t.equal(listed(host).leases.length, 4, 'what was given back is not shown')
  }),
)

t.test('export: the reference gives no held address away, and frees what it deletes', (t) =>
  withHost((host) => {
    const to = join(host.directory, 'networks')
    const pods = [host.pod(), host.pod(), host.pod()]
    const held = pods.flatMap((pod) => bare(added(pod, conf(host))))
    const ran = exported(host, to)
    t.equal(ran.code, 0, ran.stderr)
    const files = readdirSync(join(to, 'net'))
    t.same([...files].sort(), [...held, 'last_reserved_ip.0', 'last_reserved_ip.1', 'lock'].sort())
    const [first, second, third] = pods as [Pod, Pod, Pod]
    const [address = ''] = held
    t.equal(readFileSync(join(to, 'net', address), 'utf8'), `${first.container}\r\neth0`)
    t.match(exported(host, to).stdout, '6 leases, all there already')

    const next = JSON.parse(reference(host, 'ADD', { container: 'new', to }).stdout)
    t.same(
      held.filter((one) => bare(next).includes(one)),
      [],
      'none of ours',
    )
    t.same(bare(next), ['10.77.0.5', 'fd00:77::5'], 'it goes on where we were')
    const wish = reference(host, 'ADD', { container: 'wish', to, args: `IP=${address}` })
    t.equal(wish.code, 1, `${address} on request: ${wish.stdout}`)
    const taken = {
      ranges: [[{ subnet: '10.77.0.0/24', rangeStart: '10.77.0.2', rangeEnd: '10.77.0.4' }]],
    }
    const full = reference(host, 'ADD', { container: 'full', to, ipam: taken })
    t.match(full.stdout, /no IP addresses available/, 'a pool that is all ours')

    t.equal(reference(host, 'DEL', { container: second.container, to }).code, 0)
    const left = readdirSync(join(to, 'net'))
    t.notOk(left.includes(held[2]!), 'its DEL freed the second pod’s')
    t.ok(left.includes(address), 'and the second’s alone')
    const freed = reference(host, 'ADD', { container: 'heir', to, ipam: taken })
    t.same(bare(JSON.parse(freed.stdout)), [held[2]])
    t.match(listed(host).leases, [{}, {}, {}, {}, {}, {}], 'our store is as it was')
    deleted(third, conf(host))
  }),
)

t.test('export into the folder that the plugin takes over from: both sides see a DEL', (t) =>
  withHost((host) => {
    mkdirSync(join(host.dataDir, 'net'), { recursive: true })
    const [pod, other] = [host.pod(), host.pod()]
    const [address = ''] = bare(added(pod, conf(host)))
    const [kept = ''] = bare(added(other, conf(host)))
    t.equal(exported(host, host.dataDir).code, 0)
    reference(host, 'DEL', { container: pod.container, to: host.dataDir })
    const late = host.pod()
    added(late, conf(host))
    const addresses = listed(host).leases.map((lease) => lease.address)
    t.notOk(addresses.includes(address), 'freed there is freed here')
    t.ok(addresses.includes(kept), 'what lives is held')
    deleted(other, conf(host))
    t.notOk(existsSync(join(host.dataDir, 'net', kept)), 'our DEL takes its file away')
  }),
)

t.test('export: an address that somebody else holds there stops it', (t) =>
  withHost((host) => {
    const to = join(host.directory, 'networks')
    const [address = ''] = bare(added(host.pod(), conf(host)))
    mkdirSync(join(to, 'net'), { recursive: true })
    writeFileSync(join(to, 'net', address), 'somebody\r\neth0')
    const { code, stderr } = exported(host, to)
    t.equal(code, 1)
    t.match(stderr, `${address} belong to other containers there; nothing was written`)
    t.same(readdirSync(join(to, 'net')).sort(), [address, 'lock'])
    t.equal(readFileSync(join(to, 'net', address), 'utf8'), 'somebody\r\neth0')
  }),
)

t.test('export: a network without leases, and a store of another life', (t) =>
  withHost((host) => {
    added(host.pod(), conf(host))
    const words = ['ipam', 'export', '--data-dir', host.dataDir, '--to', host.directory]
    const unknown = tool([...words, '--network', 'nett'], host.netns)
    t.equal(unknown.code, 1)
    t.match(unknown.stderr, 'no address of network nett is held; there is net')
    const elsewhere = tool([...words, '--network', 'net'], host.outside)
    t.equal(elsewhere.code, 1)
    t.match(elsewhere.stderr, 'another network namespace than this one')
    t.notOk(existsSync(join(host.directory, 'net')))
  }),
)
