import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  add,
  added,
  addressesOf,
  ask,
  deleted,
  type Mode,
  modes,
  netconf,
  refusalOf,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Host, withHost } from '../support/host.ts'
import { leases } from '../support/leases.ts'
import { referenceAdded, referenceDeleted } from '../support/reference.ts'
import { watchResidue } from '../support/residue.ts'

t.setTimeout(240_000)

const network = (host: Host, mode: Mode): Json =>
  netconf(host, { mode, version: '1.0.0', families: 'dual', keys: { isGateway: false } })

const files = (host: Host, name = 'net'): readonly string[] =>
  readdirSync(join(host.dataDir, name)).filter((file) => /^\d+\.|^fd/.test(file))

/** Pods of the reference plugins, and pods that we make after them, on one data directory. */
function besideLivingPods(t: Test, host: Host, mode: Mode): void {
  const conf = network(host, mode)
  const old = [host.pod(), host.pod(), host.pod()]
  const left = watchResidue(host, [])
  const theirs = old.flatMap((pod) => addressesOf(referenceAdded(mode, pod, conf)))
  t.equal(files(host).length, 6, 'host-local’s files')
  const fresh = [host.pod(), host.pod(), host.pod()]
  const ours = fresh.flatMap((pod) => addressesOf(added(pod, conf)))
  t.equal(new Set([...theirs, ...ours]).size, 12, 'no address twice')
  for (const address of theirs.slice(0, 2)) {
    const ran = add(host.pod(), conf, { args: `IP=${address}` })
    t.equal(refusalOf(ran)?.code, 103, `${address} is not given away on request either`)
  }
  for (const pod of [...old, ...fresh]) deleted(pod, conf)
  t.same(files(host), [], 'DEL of an adopted pod removes host-local’s file')
  for (const pod of old) pod.netns.ip('link', 'del', pod.ifname)
  if (mode === 'bridge') host.netns.ip('link', 'del', 'cni0')
  t.same(left(), [])
}

for (const mode of modes) {
  t.test(`${mode}: beside living pods of the reference`, (t) =>
    withHost((host) => besideLivingPods(t, host, mode)),
  )
}

/** libcni deletes with the configuration that it cached at ADD: through the plugin of that time. */
t.test('a pod that the reference deletes after it was adopted', (t) =>
  withHost((host) => {
    const conf = netconf(host, {
      mode: 'bridge',
      version: '1.0.0',
      keys: { isGateway: false },
      ipam: { ranges: [[{ subnet: '10.77.0.0/29' }]] },
    })
    const old = host.pod()
    const [address = ''] = addressesOf(referenceAdded('bridge', old, conf))
    const mine = host.pod()
    added(mine, conf)
    t.equal(leases(host.dataDir).includes(address), true, 'adopted')
    referenceDeleted('bridge', old, conf)
    const next = Array.from({ length: 4 }, () => addressesOf(added(host.pod(), conf))[0])
    t.ok(next.includes(address), `${address} can be had again: ${next}`)
  }),
)

type File = Readonly<{ why: string; name: string; content: string; isLease: boolean; age?: number }>

/** Everything that host-local, its older versions and power cuts leave in such a directory. */
const found: readonly File[] = [
  { why: 'of today', name: '10.77.0.2', content: 'a\r\neth0', isLease: true },
  { why: 'of old, the container alone', name: '10.77.0.3', content: 'b', isLease: true },
  { why: 'with white space', name: '10.77.0.4', content: '  c\r\neth0\r\n', isLease: true },
  { why: 'with a newline', name: '10.77.0.5', content: 'd\neth0\n', isLease: true },
  { why: 'IPv6', name: 'fd00:77::2', content: 'a\r\neth0', isLease: true },
  { why: 'empty, after a power cut', name: '10.77.0.6', content: '', isLease: false },
  { why: 'older than the boot', name: '10.77.0.7', content: 'e\r\neth0', isLease: false, age: 1e6 },
  {
    why: 'the last reserved address',
    name: 'last_reserved_ip.0',
    content: '10.77.0.9',
    isLease: false,
  },
  { why: 'the lock', name: 'lock', content: '', isLease: false },
  { why: 'something else', name: 'notes.txt', content: 'hello', isLease: false },
]

t.test('what lies in a directory of host-local', (t) =>
  withHost((host) => {
    const directory = join(host.dataDir, 'net')
    mkdirSync(directory, { recursive: true })
    for (const { name, content, age } of found) {
      writeFileSync(join(directory, name), content)
      const days = new Date(Date.now() - (age ?? 0) * 1000 * 60)
      if (age !== undefined) utimesSync(join(directory, name), days, days)
    }
    const conf = netconf(host, {
      mode: 'bridge',
      families: 'dual',
      keys: { isGateway: false },
      ipam: { ranges: [[{ subnet: '10.77.0.0/29' }], [{ subnet: 'fd00:77::/64' }]] },
    })
    const [v4, v6] = addressesOf(added(host.pod(), conf))
    t.equal(v4, '10.77.0.6', 'the first that no living pod holds')
    t.not(v6, 'fd00:77::2')
    for (const { why, name, isLease } of found.filter(({ name }) => name.startsWith('10.'))) {
      const ran = add(host.pod(), conf, { args: `IP=${name}` })
      const taken = isLease || name === v4
      // 10.77.0.7 is the broadcast address of the pool: refused for that reason
      t.equal(ran.code, taken || name === '10.77.0.7' ? 1 : 0, `${why}: ${ran.stdout}`)
    }
    const unknown = { ...host.pod(), container: 'b', ifname: 'net7' }
    deleted(unknown, conf, { netns: '' })
    t.equal(add(host.pod(), conf, { args: 'IP=10.77.0.3' }).code, 0, 'one of old goes by its id')
  }),
)

t.test('GC collects adopted leases that are not listed', (t) =>
  withHost((host) => {
    const conf = { ...network(host, 'bridge'), cniVersion: '1.1.0' }
    const [kept, stale] = [host.pod(), host.pod()]
    for (const pod of [kept, stale]) referenceAdded('bridge', pod, network(host, 'bridge'))
    const mine = host.pod()
    added(mine, conf)
    const valid = [kept, mine].map(({ container, ifname }) => ({ containerID: container, ifname }))
    t.equal(ask('GC', host, { ...conf, 'cni.dev/valid-attachments': valid }).code, 0)
    t.equal(files(host).length, 2, 'the file of the one that is listed stays')
    t.equal(new Set(leases(host.dataDir)).size, 4)
  }),
)

t.test('the reference’s own default directory', async (t) =>
  withHost((host) => {
    const { dataDir: _, ...ipam } = network(host, 'bridge').ipam as Json
    const conf = { ...network(host, 'bridge'), ipam }
    const script = [
      'mkdir -p /var/lib/cni',
      'mount -t tmpfs none /var/lib/cni',
      'mkdir -p /var/lib/cni/networks/net',
      "printf 'a\\r\\neth0' > /var/lib/cni/networks/net/10.77.0.2",
      'exec "$@"',
    ].join(' && ')
    const wrapper = ['/usr/bin/unshare', '-m', '/bin/sh', '-c', script, 'sh']
    const result = added(host.pod(), conf, { wrapper, env: { PATH: '/usr/bin:/bin' } })
    t.equal(addressesOf(result)[0], '10.77.0.3', 'passes over what is in /var/lib/cni/networks')
  }),
)
