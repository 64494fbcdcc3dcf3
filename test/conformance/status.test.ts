import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { added, ask, deleted, modes, netconf, refusalOf } from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Host, withHost } from '../support/host.ts'
import type { Ran } from '../support/netns.ts'
import { watchResidue } from '../support/residue.ts'
import { errorFaults } from '../support/shape.ts'

t.setTimeout(240_000)

function expectReady(t: Test, ran: Ran, why: string): void {
  t.same([ran.code, ran.stdout], [0, ''], why)
}

function expectUnavailable(t: Test, ran: Ran, says: RegExp): void {
  t.same(errorFaults(ran), [])
  t.equal(refusalOf(ran)?.code, 50)
  t.match(refusalOf(ran)?.details, says)
}

for (const mode of modes) {
  t.test(`STATUS, ${mode}: ready, full, ready again`, (t) =>
    withHost((host) => {
      const ranges = [[{ subnet: '10.77.0.0/30' }], [{ subnet: 'fd00:77::/64' }]]
      const conf = netconf(host, { mode, ipam: { ranges } })
      const untouched = watchResidue(host, [])
      expectReady(t, ask('STATUS', host, conf), 'before the first ADD')
      t.same(untouched(), [], 'STATUS makes nothing')
      const pod = host.pod()
      added(pod, conf)
      const held = watchResidue(host, [pod.netns])
      expectUnavailable(t, ask('STATUS', host, conf), /10\.77\.0/)
      t.same(held(), [])
      deleted(pod, conf)
      expectReady(t, ask('STATUS', host, conf), 'after DEL')
    }),
  )
}

t.test('STATUS without a pool', (t) =>
  withHost((host) => {
    const conf = { ...netconf(host, { mode: 'bridge', keys: { isGateway: false } }), ipam: {} }
    expectReady(t, ask('STATUS', host, conf), 'nothing to run out of')
  }),
)

t.test('STATUS when the data directory can’t be written', (t) =>
  withHost((host) => {
    const conf = netconf(host, { mode: 'routed' })
    const script = `mount -t tmpfs -o ro none ${host.directory} && exec "$@"`
    const wrapper = ['/usr/bin/unshare', '-m', '/bin/sh', '-c', script, 'sh']
    // the mount hides the link to our file, so the file itself is named
    const ran = ask('STATUS', host, conf, { wrapper, env: { PATH: '/usr/bin:/bin' } })
    expectUnavailable(t, ran, /leases/)
  }),
)

/** Which of the plugin's socket(2) calls opens this netlink family, counting from one. */
function socketNumber(host: Host, conf: Json, protocol: string): number {
  const file = join(host.directory, 'trace')
  const strace = ['/usr/bin/strace', '-f', '-qqq', '-o', file, '-e', 'trace=socket']
  expectReady(t, ask('STATUS', host, conf, { wrapper: strace }), 'under strace')
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.includes('socket('))
  return lines.findIndex((line) => line.includes(protocol)) + 1
}

for (const { protocol, keys, says } of [
  { protocol: 'NETLINK_NETFILTER', keys: { ipMasq: true }, says: /nf_tables|nftables/ },
  { protocol: 'NETLINK_ROUTE', keys: {}, says: /netlink|rtnetlink|route/i },
]) {
  t.test(`STATUS on a kernel without ${protocol}`, (t) =>
    withHost((host) => {
      const conf = netconf(host, { mode: 'routed', keys })
      const number = socketNumber(host, conf, protocol)
      t.ok(number > 0, `STATUS opens ${protocol}`)
      const inject = `inject=socket:error=EPROTONOSUPPORT:when=${number}`
      const wrapper = ['/usr/bin/strace', '-f', '-qqq', '-o', '/dev/null', '-e', inject]
      expectUnavailable(t, ask('STATUS', host, conf, { wrapper }), says)
    }),
  )
}
