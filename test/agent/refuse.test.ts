import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { missingFeatures } from '../../src/agent/preflight.ts'
import { errno } from '../../src/kernel/refusal.ts'
import { native } from '../kernel/sockets.ts'
import { executable } from '../support/cni.ts'
import { type Ran, runLater } from '../support/netns.ts'
import { three, withKubernetes } from './cluster.ts'
import { until } from './running-agent.ts'

// What an agent that can't work says before it ends, or while it waits, having changed nothing.

async function refusedWith(words: readonly string[], before: readonly string[] = []): Promise<Ran> {
  const folder = mkdtempSync(join(tmpdir(), 'tt-refuse-'))
  const own = ['--node-name', 'a', '--run-dir', folder, '--state-dir', folder, '--data-dir', folder]
  const none = ['--conflist', '', '--metrics', '']
  try {
    return await runLater(
      ['unshare', '--net', ...before, executable, 'agent', ...own, ...none, ...words],
      { timeoutMs: 20_000, env: { PATH: process.env.PATH ?? '' } },
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('words and values that are wrong', async (t) => {
  const { code, stderr } = await refusedWith(['--vni', '0', '--port', 'x'])
  t.equal(code, 2)
  t.match(stderr, /vni is "0"; accepted: a number, 1 … 16777215\n.*port is "x"/)
})

test('no API is named, and this is no pod', async (t) => {
  const { code, stdout } = await refusedWith([])
  t.equal(code, 1)
  t.match(stdout, /Cannot find the Kubernetes API: no kubeconfig is named/)
})

test('a kubeconfig that is not there', async (t) => {
  const { code, stdout } = await refusedWith(['--kubeconfig', '/nowhere/kubeconfig'])
  t.equal(code, 1)
  t.match(stdout, /\/nowhere\/kubeconfig/)
})

test('without NET_ADMIN', async (t) => {
  const drop = ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin']
  const { code, stdout } = await refusedWith(['--nodes-file', '/nowhere'], drop)
  t.equal(code, 1)
  t.match(stdout, /lacks CAP_NET_ADMIN/)
})

test('a kernel without VXLAN, and one without nf_tables', async (t) => {
  const deaf = {
    ...native,
    // The kernel's word for a kind of link that it does not know.
    receive: (fd: number, into: Uint8Array, wait: 0 | 1) => {
      const length = native.receive(fd, into, wait)
      const view = new DataView(into.buffer, into.byteOffset)
      if (length >= 20 && view.getUint16(4, true) === 2) view.setInt32(16, -errno.EOPNOTSUPP, true)
      return length
    },
  }
  t.match(missingFeatures(deaf), [/no VXLAN devices/])
  const noNetfilter = {
    ...native,
    socketIn: (netnsFd: number, protocol: number) =>
      protocol === 12 ? -93 : native.socketIn(netnsFd, protocol),
  }
  t.match(missingFeatures(noNetfilter), [/no nf_tables \(.*EPROTONOSUPPORT/])
  t.same(missingFeatures(native), [], 'this one has both')
})

test('RBAC that lacks a rule: nothing is written until it is there', (t) =>
  withKubernetes(three.slice(0, 2), async (cluster, api) => {
    const wish = three[2]
    if (!wish) throw new Error('no third node')
    const { host, agent } = cluster.add(wish, ['--kubeconfig', api.kubeconfig])
    await api.put(host.node)
    await api.deny('watch nodes')
    agent.start()
    await until('the finding', async () => {
      const { findings } = await agent.status()
      return findings.some(({ check }) => check === 'rights-missing')
    })
    t.notOk((await agent.status()).ready)
    t.equal(host.netns.exec(['nft', 'list', 'tables']).stdout, '')
    t.notMatch(host.netns.ip('link'), /tulle/)
    await api.grant('watch nodes')
    await agent.ready()
    await cluster.allReach()
  }))
