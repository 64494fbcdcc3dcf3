import t from 'tap'
import type { AgentStatus } from '../../src/serve/agent-status.ts'
import { added, netconf } from '../support/attachment.ts'
import { type Host, withHost } from '../support/host.ts'
import { nft, policed, policedConf } from '../support/policed.ts'
import { healthy, policyStatus, toolBeside } from './agent-stub.ts'

t.setTimeout(120_000)

type Examined = Readonly<Record<'check' | 'verdict' | 'found', string>>

const watched = ['policy-table', 'closed-pods', 'bridge-netfilter', 'nf-conntrack', 'ct-mark']

/** What doctor tells of policies on this host. */
async function diagnosed(host: Host, says?: AgentStatus): Promise<readonly Examined[]> {
  const folders = ['--data-dir', host.dataDir, '--conf-dir', '/nowhere', '--bin-dir', '/nowhere']
  const { stdout } = await toolBeside({
    words: ['doctor', ...folders, '--json'],
    folder: host.directory,
    node: host.netns,
    ...(says === undefined ? {} : { says }),
  })
  const { checks } = JSON.parse(stdout) as { checks: readonly Examined[] }
  return checks.filter(({ check }) => [...watched, 'policy'].includes(check))
}

/** As the agent would, of pods that nothing isolates. */
function tellVerdicts({ netns }: Host): void {
  for (const one of policed(netns)) {
    const [address = ''] = one.split(': ')
    const family = address.includes(':') ? 6 : 4
    for (const side of ['egress', 'ingress'])
      nft(netns, `add element inet tulle-policy ${side}${family} { ${address} : return }`)
  }
}

t.test('a pod without a verdict is closed, and doctor tells why', (t) =>
  withHost(async (host) => {
    t.same(await diagnosed(host), [], 'where no policy holds there is nothing to tell')
    added(host.pod(), policedConf(host, 'routed', {}, 0))
    const table = { check: 'policy-table', verdict: 'ok', found: 'policies hold for 1 pods' }
    const closed = (found: RegExp) => ({ check: 'closed-pods', verdict: 'error', found })
    t.match(await diagnosed(host), [table, closed(/^closed: .*: no agent answers/)])
    t.match(await diagnosed(host, healthy), [table, closed(/does not enforce policies/)])
    const pending = { ...policyStatus, pending: 'ENOBUFS', lagSeconds: 11 }
    t.match(await diagnosed(host, { ...healthy, policy: pending }), [
      table,
      closed(/: ENOBUFS$/),
      { check: 'policy', verdict: 'error', found: 'not in force for 11 s: ENOBUFS' },
    ])
    const [, found] = await diagnosed(host)
    const name = /^closed: ([^:]+):/.exec(found?.found ?? '')?.[1] ?? ''
    const waiting = { ...healthy, policy: { ...policyStatus, waiting: [name] } }
    t.match((await diagnosed(host, waiting))[1], closed(/the source of pods has not told of them/))
    tellVerdicts(host)
    const told = await diagnosed(host, { ...healthy, policy: policyStatus })
    t.match(told, [table, { check: 'policy', verdict: 'ok', found: /^7 policies, .* 120$/ }])
    t.equal(told.length, 2)
  }),
)

t.test('a table that is gone, and one that does not know a pod', (t) =>
  withHost(async (host) => {
    added(host.pod(), policedConf(host, 'routed', {}, 0))
    added(host.pod(), netconf(host, { mode: 'routed', families: 'dual' }))
    tellVerdicts(host)
    nft(host.netns, 'flush set inet tulle-policy policed6')
    const lost = { check: 'policy-table', verdict: 'error', found: /does not know/ }
    t.match(await diagnosed(host), [lost])
    nft(host.netns, 'delete table inet tulle-policy')
    t.match(await diagnosed(host), [{ ...lost, found: /tulle-policy is not there/ }])
  }),
)

t.test('P50 bridged pods are judged by br_netfilter alone', (t) =>
  withHost(async (host) => {
    added(host.pod(), policedConf(host, 'bridge', {}, 0))
    tellVerdicts(host)
    const bridged = async () =>
      (await diagnosed(host)).filter(({ check }) => check === 'bridge-netfilter')
    t.match(await bridged(), [{ verdict: 'ok' }])
    host.netns.exec(['sysctl', '-qw', 'net.bridge.bridge-nf-call-ip6tables=0'])
    t.match(await bridged(), [
      {
        verdict: 'error',
        found: 'net.bridge.bridge-nf-call-ip6tables is off',
        meaning: /reach each other, whatever policies say/,
      },
    ])
  }),
)

for (const { rule, isOurs } of [
  { rule: 'ct mark set 0x1', isOurs: true },
  { rule: 'ct mark set ct mark and 0xfffff0ff xor 0x100', isOurs: false },
  { rule: 'ct mark set ct mark and 0xffff0fff xor 0x1000', isOurs: true },
  { rule: 'ct mark set ct mark or 0x80', isOurs: false },
  { rule: 'ct mark set meta mark', isOurs: true },
  { rule: 'meta mark set ct mark', isOurs: false },
  { rule: 'ct mark 0x10000 accept', isOurs: false },
  { rule: 'ct state new meta mark set 0x4000', isOurs: false },
])
  t.test(`others' marks: ${rule}`, (t) =>
    withHost(async (host) => {
      added(host.pod(), policedConf(host, 'routed', {}, 0))
      nft(host.netns, 'add table ip other; add chain ip other marks')
      nft(host.netns, `add rule ip other marks ${rule}`)
      const found = (await diagnosed(host)).filter(({ check }) => check === 'ct-mark')
      const said = { verdict: 'warning', found: /bits .*: ip other marks$/, remedy: /low 12 bits/ }
      t.match(found, isOurs ? [said] : [])
      t.equal(found.length, isOurs ? 1 : 0)
    }),
  )

for (const { words, isOurs } of [
  { words: '--save-mark', isOurs: true },
  { words: '--set-xmark 0x80/0x80', isOurs: false },
  { words: '--set-xmark 0x8000/0x8000', isOurs: true },
  { words: '--restore-mark', isOurs: false },
])
  t.test(`others' marks, by iptables: ${words}`, (t) =>
    withHost(async (host) => {
      added(host.pod(), policedConf(host, 'routed', {}, 0))
      const asked = ['iptables', '-t', 'mangle', '-A', 'OUTPUT', '-j', 'CONNMARK']
      const put = host.netns.exec([...asked, ...words.split(' ')])
      t.equal(put.code, 0, put.stderr)
      const found = (await diagnosed(host)).filter(({ check }) => check === 'ct-mark')
      t.equal(found.length, isOurs ? 1 : 0, JSON.stringify(found))
    }),
  )
