import { mkdirSync } from 'node:fs'
import t, { type Test } from 'tap'
import {
  add,
  added,
  addressesOf,
  ask,
  check,
  del,
  deleted,
  type Extra,
  type Mode,
  modes,
  netconf,
  refusalOf,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Host, uplink, withHost } from '../support/host.ts'
import { leases } from '../support/leases.ts'
import { MountSpace } from '../support/mount-space.ts'
import { type Netns, run } from '../support/netns.ts'
import { watchResidue } from '../support/residue.ts'
import { errorFaults } from '../support/shape.ts'

t.setTimeout(240_000)

const network = (host: Host, mode: Mode): Json =>
  netconf(host, {
    mode,
    families: 'dual',
    keys: { ipMasq: true },
    ipam: { routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }] },
  })

const answered = (from: Netns, to: string): boolean =>
  from.exec(['/usr/bin/ping', '-n', '-c', '1', '-W', '1', to]).code === 0
const set = (netns: Netns, name: string, value: string): void => {
  netns.exec(['/usr/sbin/sysctl', '-qw', `${name}=${value}`])
}

async function withMounts(script: string, use: (extra: Extra) => void): Promise<void> {
  const space = await MountSpace.open(script)
  try {
    use({ wrapper: space.words })
  } finally {
    await space.close()
  }
}

/** A disk of 128 KiB that is filled to its last byte, and emptied again. */
async function fullDisk(t: Test, host: Host, mode: Mode): Promise<void> {
  mkdirSync(host.dataDir, { recursive: true })
  const mount = `mount -t tmpfs -o size=128k none ${host.dataDir}`
  await withMounts(mount, (disk) => {
    const inside = (line: string): void => {
      run([...(disk.wrapper ?? []), '/bin/sh', '-c', line])
    }
    const fill = (): void => inside(`cat /dev/zero > ${host.dataDir}/filler`)
    const empty = (): void => inside(`rm -f ${host.dataDir}/filler`)
    const conf = network(host, mode)
    const [one, two] = [host.pod(), host.pod()]
    const nothing = watchResidue(host, [one.netns, two.netns])
    const refuses = (why: string): void => {
      const ran = add(two, conf, disk)
      t.same(errorFaults(ran), [], why)
      t.equal(refusalOf(ran)?.code, 5, `${why}: ${ran.stdout}`)
    }
    fill()
    refuses('no room for a first store')
    t.same(nothing(), [], 'nothing is left')
    empty()
    const result = added(one, conf, disk)
    const before = watchResidue(host, [one.netns, two.netns])
    fill()
    refuses('no room for one more lease')
    t.same(before(), [], 'nothing of the second is left, the first lives')
    t.equal(check(one, conf, result, disk).code, 0, 'CHECK needs no room')
    const ran = del(one, conf, disk)
    if (ran.code !== 0) t.same(errorFaults(ran), [], 'DEL may ask to be called again')
    empty()
    deleted(one, conf, disk)
    t.same(nothing(), [], 'DEL leaves nothing')
    added(two, conf, disk)
    deleted(two, conf, disk)
  })
}

/** As in a runtime that runs in a container of its own. */
async function readOnlySysctls(t: Test, host: Host, mode: Mode): Promise<void> {
  await withMounts('mount -o bind,ro /proc/sys /proc/sys', (locked) => {
    const conf = network(host, mode)
    const pod = host.pod()
    const left = watchResidue(host, [pod.netns])
    const ran = add(pod, conf, locked)
    t.same(errorFaults(ran), [])
    t.equal(refusalOf(ran)?.code, 5)
    t.match(refusalOf(ran)?.details, 'ip_forward')
    t.same(left(), [], 'nothing is left')
    set(host.netns, 'net.ipv4.ip_forward', '1')
    set(host.netns, 'net.ipv6.conf.all.forwarding', '1')
    const [v4 = '', v6 = ''] = addressesOf(added(pod, conf, locked))
    t.ok(answered(host.netns, v4) && answered(host.netns, v6), 'set beforehand, ADD works')
    deleted(pod, conf, locked)
    t.same(left(), [])
  })
}

/** Somebody switched IPv6 off for every new interface, in the pod or on the node. */
function withoutIpv6(t: Test, host: Host, mode: Mode): void {
  for (const place of ['pod', 'node', 'both'] as const) {
    const pod = host.pod()
    const off = { pod: [pod.netns], node: [host.netns], both: [pod.netns, host.netns] }[place]
    for (const netns of off) {
      for (const name of ['all', 'default']) set(netns, `net.ipv6.conf.${name}.disable_ipv6`, '1')
    }
    const left = watchResidue(host, [pod.netns])
    const plain = netconf(host, { mode, families: 'v4', name: 'plain' })
    const [v4 = ''] = addressesOf(added(pod, plain))
    t.ok(answered(host.netns, v4), `${place}: IPv4 works`)
    deleted(pod, plain)
    t.same(left(), [], `${place}: nothing is left`)
    const ran = add(pod, network(host, mode))
    if (ran.code === 0) {
      const [, v6 = ''] = addressesOf(JSON.parse(ran.stdout))
      t.ok(answered(pod.netns, 'fd00:77::1'), `${place}: ${v6} reaches its gateway`)
    } else {
      t.same(errorFaults(ran), [], place)
      t.match(ran.stdout, /ipv6/i, `${place}: the refusal names IPv6`)
      t.same(left(), [], `${place}: nothing is left of what was refused`)
    }
    deleted(pod, network(host, mode))
    t.same(left(), [], `${place}: after DEL nothing`)
    for (const netns of off) {
      for (const name of ['all', 'default']) set(netns, `net.ipv6.conf.${name}.disable_ipv6`, '0')
    }
  }
}

/** firewalld reloads, or somebody flushes: the next ADD makes the tables again, for all. */
function flushedRuleset(t: Test, host: Host, mode: Mode): void {
  const conf = network(host, mode)
  const [one, two] = [host.pod(), host.pod()]
  const nothing = watchResidue(host, [one.netns, two.netns])
  const first = added(one, conf)
  host.netns.exec(['/usr/sbin/nft', 'flush', 'ruleset'])
  t.equal(refusalOf(check(one, conf, first))?.code, 104, 'CHECK reports it')
  const second = added(two, conf)
  t.equal(check(two, conf, second).code, 0)
  t.equal(check(one, conf, first).code, 0, 'the next ADD has healed the first pod too')
  t.ok(answered(one.netns, uplink.outside.v4), 'which is masqueraded again')
  host.netns.exec(['/usr/sbin/nft', 'flush', 'ruleset'])
  deleted(one, conf)
  t.equal(ask('GC', host, { ...conf, 'cni.dev/valid-attachments': [] }).code, 0)
  t.same(nothing(), [])
}

for (const mode of modes) {
  t.test(mode, async (t) => {
    for (const [title, body] of [
      ['a disk that is full', fullDisk],
      ['/proc/sys read-only', readOnlySysctls],
      ['IPv6 switched off', withoutIpv6],
      ['the ruleset flushed', flushedRuleset],
    ] as const) {
      await t.test(title, (t) => withHost((host) => body(t, host, mode)))
    }
  })
}

t.test('a result that can’t be printed', (t) =>
  withHost((host) => {
    for (const mode of modes) {
      const conf = { ...network(host, mode), name: mode }
      const pod = host.pod()
      const left = watchResidue(host, [pod.netns])
      const into = (redirect: string): Extra => ({
        wrapper: ['/bin/sh', '-c', `exec "$@" ${redirect}`, 'sh'],
      })
      t.not(add(pod, conf, into('> /dev/full')).code, 0, `${mode}: ADD does not claim success`)
      t.same(left(), [], `${mode}: and undoes itself`)
      deleted(pod, conf)
      // Node opens /dev/null where a standard stream is closed: a caller that discards the result.
      t.equal(add(pod, conf, into('>&-')).code, 0, `${mode}: a closed stdout is /dev/null`)
      deleted(pod, conf)
      t.same(left(), [], `${mode}: DEL leaves nothing`)
      t.same(leases(host.dataDir), [])
    }
  }),
)

t.test('a data directory that is a file', (t) =>
  withHost((host) => {
    const conf = netconf(host, { mode: 'routed', ipam: { dataDir: '/etc/hostname' } })
    const pod = host.pod()
    const left = watchResidue(host, [pod.netns])
    const ran = add(pod, conf)
    t.same(errorFaults(ran), [])
    t.equal(refusalOf(ran)?.code, 5)
    t.match(refusalOf(ran)?.details, '/etc/hostname')
    t.same(left(), [])
  }),
)
