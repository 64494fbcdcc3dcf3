import {
  chmodSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { AgentStatus } from '../../src/serve/agent-status.ts'
import { added, netconf } from '../support/attachment.ts'
import { executable, type Json } from '../support/cni.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import type { Ran } from '../support/netns.ts'
import { run } from '../support/netns.ts'
import { healthy, peer, toolBeside } from './agent-stub.ts'

t.setTimeout(240_000)

type Examined = Readonly<{
  check: string
  verdict: 'ok' | 'warning' | 'error' | 'unknown'
  found: string
  meaning?: string
  remedy?: string
}>
type Diagnosed = Readonly<{ isWell: boolean; checks: readonly Examined[] }>

const conf = (host: Host, keys: Json = {}): Json =>
  netconf(host, { mode: 'routed', version: '1.0.0', families: 'dual', keys })

/** What a runtime and Tulle's installation leave on a node. */
class Clinic {
  readonly host: Host
  readonly lists: string
  readonly bin: string

  constructor(host: Host) {
    this.host = host
    this.lists = join(host.directory, 'net.d')
    this.bin = join(host.directory, 'opt')
    mkdirSync(this.lists)
    mkdirSync(this.bin)
    // The test's own folder stands for the runtime's; a link is as good as a copy.
    symlinkSync(executable, join(this.bin, 'tulle'))
    this.list('10-tulle.conflist', 'tulle')
  }

  /** The launcher in the link's place. */
  installLauncher(): string {
    const path = join(this.bin, 'tulle')
    rmSync(path)
    const { code, stderr } = run([executable, 'install', '--warm', '--dir', this.bin])
    if (code !== 0) throw new Error(stderr)
    return path
  }

  list(file: string, type: string, name = type): void {
    const plugins = [type === 'tulle' ? { ...conf(this.host), name: undefined } : { type }]
    writeFileSync(join(this.lists, file), JSON.stringify({ cniVersion: '1.0.0', name, plugins }))
  }

  pod(keys?: Json): Pod {
    const pod = this.host.pod()
    added(pod, conf(this.host, keys))
    return pod
  }

  /** As Tulle makes it. */
  tunnel({ mac = '02:74:c0:00:02:01', mtu = '1450' } = {}): void {
    const vxlan = ['type', 'vxlan', 'id', '1', 'dstport', '8472', 'local', '192.0.2.1']
    this.host.netns.ip('link', 'add', 'tulle.1', 'address', mac, ...vxlan, 'nolearning')
    this.host.netns.ip('link', 'set', 'tulle.1', 'mtu', mtu, 'up')
  }

  sysctl(text: string): void {
    this.host.netns.exec(['sysctl', '-qw', text])
  }

  ask(says?: AgentStatus | string, ...more: readonly string[]): Promise<Ran> {
    const { host } = this
    const folders = ['--data-dir', host.dataDir, '--conf-dir', this.lists, '--bin-dir', this.bin]
    return toolBeside({
      words: ['doctor', ...folders, ...more],
      folder: host.directory,
      node: host.netns,
      ...(says === undefined ? {} : { says }),
    })
  }

  async diagnose(says?: AgentStatus): Promise<Diagnosed> {
    return JSON.parse((await this.ask(says, '--json')).stdout) as Diagnosed
  }
}

const withClinic = (use: (clinic: Clinic) => Promise<void>): Promise<void> =>
  withHost((host) => use(new Clinic(host)))

t.test('a node that is well: exit code 0, and what was looked at', (t) =>
  withClinic(async (clinic) => {
    clinic.tunnel()
    clinic.pod({ mtu: 1450 })
    const { checks, isWell } = await clinic.diagnose(healthy)
    t.same(
      checks.filter(({ verdict }) => verdict !== 'ok'),
      [],
    )
    t.equal(isWell, true)
    const { code, stdout } = await clinic.ask(healthy)
    t.equal(code, 0)
    t.match(stdout, /^ok {7}tunnel-mac {7}tulle\.1 has 02:74:c0:00:02:01$/m)
    t.match(stdout, /^0 wrong, 0 to look at, \d+ well$/m)
    t.notMatch(stdout, '\u001b', 'no colour in a pipe')
    const links = clinic.host.netns.ip('link')
    t.notMatch(links, 'tul-probe', 'asking what the kernel can makes nothing')
  }),
)

t.test('the launcher is this executable, wherever it is seen from', (t) =>
  withClinic(async (clinic) => {
    clinic.installLauncher()
    const told = { check: 'plugin-binary', verdict: 'ok', found: /is this executable/ }
    const seen = async (bin: string): Promise<readonly Examined[]> => {
      const { stdout } = await clinic.ask(undefined, '--json', '--bin-dir', bin)
      const { checks } = JSON.parse(stdout) as Diagnosed
      return checks.filter(({ check }) => check === 'plugin-binary')
    }
    t.match(await seen(clinic.bin), [told])
    // As a container sees the node's folder: under another path than the launcher has.
    const elsewhere = join(clinic.host.directory, 'elsewhere')
    renameSync(clinic.bin, elsewhere)
    t.match(await seen(elsewhere), [told])
  }),
)

for (const { why, spoil, finds } of [
  {
    why: 'forwarding was switched off under living pods',
    spoil: (clinic: Clinic) => {
      clinic.pod()
      clinic.sysctl('net.ipv4.ip_forward=0')
    },
    finds: { check: 'forwarding', verdict: 'error', found: /ip_forward is 0/ },
  },
  {
    why: 'IPv6 was switched off under a dual-stack network',
    spoil: (clinic: Clinic) => {
      clinic.pod()
      clinic.sysctl('net.ipv6.conf.all.disable_ipv6=1')
    },
    finds: { check: 'ipv6', verdict: 'error', remedy: /set it to 0/ },
  },
  {
    why: 'strict reverse path filtering on the tunnel',
    spoil: (clinic: Clinic) => {
      clinic.tunnel()
      clinic.sysctl('net.ipv4.conf.all.rp_filter=1')
    },
    finds: { check: 'rp-filter', verdict: 'warning', found: /strict\) on tulle\.1/ },
  },
  {
    why: 'somebody rewrote the tunnel’s MAC',
    spoil: (clinic: Clinic) => clinic.tunnel({ mac: '0a:11:22:33:44:55' }),
    finds: { check: 'tunnel-mac', verdict: 'error', remedy: /MACAddressPolicy=none/ },
  },
  {
    why: 'the tunnel’s MTU is the uplink’s',
    spoil: (clinic: Clinic) => clinic.tunnel({ mtu: '1500' }),
    finds: { check: 'mtu', verdict: 'error', remedy: /to 1450 at most/ },
  },
  {
    why: 'a pod’s MTU is larger than the tunnel’s',
    spoil: (clinic: Clinic) => {
      clinic.pod()
      clinic.tunnel()
    },
    finds: { check: 'pod-mtu', verdict: 'warning', found: /1 of 1 pods .* 1450: tul\w+ 1500/ },
  },
  {
    why: 'the tunnel is down',
    spoil: (clinic: Clinic) => {
      clinic.tunnel()
      clinic.host.netns.ip('link', 'set', 'tulle.1', 'down')
    },
    finds: { check: 'tunnel-device', verdict: 'error', found: /tulle\.1 is down/ },
  },
  {
    why: 'the node’s address changed under the tunnel',
    spoil: (clinic: Clinic) => {
      clinic.tunnel()
      clinic.host.netns.ip('addr', 'del', '192.0.2.1/24', 'dev', 'up0')
    },
    finds: { check: 'tunnel-device', verdict: 'error', found: /192\.0\.2\.1, which is on no link/ },
  },
  {
    why: 'Flannel’s tunnel has the same VNI and port',
    spoil: ({ host }: Clinic) => {
      const vxlan = ['type', 'vxlan', 'id', '1', 'dstport', '8472', 'local', '192.0.2.1']
      host.netns.ip('link', 'add', 'flannel.1', ...vxlan)
    },
    finds: { check: 'tunnel-clash', verdict: 'error', found: /^flannel\.1: VNI 1 on UDP 8472/ },
  },
  {
    why: 'links of Calico and of the bridge plugin are left',
    spoil: ({ host }: Clinic) => {
      host.netns.ip('link', 'add', 'cni0', 'type', 'bridge')
      host.netns.ip('link', 'add', 'vxlan.calico', 'type', 'vxlan', 'id', '9', 'dstport', '4789')
    },
    finds: { check: 'leftovers', verdict: 'warning', found: /cni0, vxlan\.calico \(.*Calico/ },
  },
  {
    why: 'two networks are configured, and another wins',
    spoil: (clinic: Clinic) => clinic.list('05-other.conflist', 'cilium-cni', 'cilium'),
    finds: { check: 'network', verdict: 'error', found: /05-other\.conflist .* not Tulle's/ },
  },
  {
    why: 'two networks are configured, and Tulle wins',
    spoil: (clinic: Clinic) => clinic.list('20-other.conflist', 'cilium-cni', 'cilium'),
    finds: { check: 'network', verdict: 'warning', meaning: /20-other\.conflist does nothing/ },
  },
  {
    why: 'a network that is no JSON',
    spoil: ({ lists }: Clinic) => writeFileSync(join(lists, '99-half.conflist'), '{"name":'),
    finds: { check: 'network-file', verdict: 'error', found: /99-half\.conflist: / },
  },
  {
    why: 'the network names a plugin that is not installed',
    spoil: (clinic: Clinic) => clinic.list('10-tulle.conflist', 'bridge'),
    finds: {
      check: 'plugin-binary',
      verdict: 'error',
      remedy: /tulle install --dir .* --names bridge/,
    },
  },
  {
    why: 'the plugin is no executable file',
    spoil: (clinic: Clinic) => {
      clinic.list('10-tulle.conflist', 'other')
      writeFileSync(join(clinic.bin, 'other'), '')
      chmodSync(join(clinic.bin, 'other'), 0o644)
    },
    finds: { check: 'plugin-binary', verdict: 'error', found: /other is no executable file/ },
  },
  {
    why: 'the plugin is another build',
    spoil: (clinic: Clinic) => {
      clinic.list('10-tulle.conflist', 'other')
      const text = '#!/bin/sh\necho CNI tulle plugin v0.0.1\n'
      writeFileSync(join(clinic.bin, 'other'), text, { mode: 0o755 })
    },
    finds: { check: 'plugin-binary', verdict: 'warning', found: /another build/ },
  },
  {
    why: 'the launcher is of another build',
    spoil: (clinic: Clinic) => {
      const path = clinic.installLauncher()
      const bytes = readFileSync(path)
      bytes.write('?', bytes.indexOf('tulle-cni 1 ') + 12)
      writeFileSync(path, bytes)
    },
    finds: { check: 'plugin-binary', verdict: 'warning', found: /another build/ },
  },
  {
    why: 'the executable is another build than the launcher',
    spoil: (clinic: Clinic) => {
      clinic.installLauncher()
      writeFileSync(join(clinic.bin, '.tulle/tulle'), '#!/bin/sh\n')
    },
    finds: { check: 'plugin-binary', verdict: 'warning', found: /another build/ },
  },
  {
    why: 'the launcher has nothing to start',
    spoil: (clinic: Clinic) => {
      clinic.installLauncher()
      rmSync(join(clinic.bin, '.tulle/tulle'))
    },
    finds: {
      check: 'plugin-binary',
      verdict: 'error',
      found: /the executable beside it is gone/,
      remedy: /tulle install --warm --dir/,
    },
  },
  {
    why: 'a firewall was loaded anew and drops what it does not know',
    spoil: (clinic: Clinic) => {
      clinic.pod()
      clinic.host.netns.exec(['iptables', '-P', 'FORWARD', 'DROP'])
    },
    finds: { check: 'firewall', verdict: 'error', found: /ip filter FORWARD drops/ },
  },
  {
    why: 'a pool is used up',
    spoil: (clinic: Clinic) => {
      const ranges = [[{ subnet: '10.99.0.0/30' }]]
      const ipam = { type: 'host-local', dataDir: clinic.host.dataDir, ranges }
      clinic.pod({ ipam })
    },
    finds: { check: 'pool', verdict: 'error', found: /1 of 1 addresses are held/ },
  },
  {
    why: 'a pod is gone and nobody has called DEL',
    spoil: (clinic: Clinic) => {
      clinic.pod()
      const [name = ''] = /tul[0-9a-f]{11}/.exec(clinic.host.netns.ip('link')) ?? []
      clinic.host.netns.ip('link', 'del', name)
    },
    finds: { check: 'gone-pods', verdict: 'warning', found: /1 interfaces on record have no link/ },
  },
  {
    why: 'a route of ours leads nowhere',
    spoil: (clinic: Clinic) => {
      clinic.tunnel()
      const way = ['via', '10.244.2.0', 'dev', 'tulle.1', 'onlink', 'proto', '116']
      clinic.host.netns.ip('route', 'add', '10.244.2.0/24', ...way)
    },
    finds: { check: 'routes', verdict: 'error', found: /10\.244\.2\.0\/24 no neighbour entry/ },
  },
  {
    why: 'entries of a node that is gone',
    spoil: (clinic: Clinic) => {
      clinic.tunnel()
      const entry = ['lladdr', '02:74:c0:00:02:02', 'dev', 'tulle.1', 'nud', 'permanent']
      clinic.host.netns.ip('neigh', 'add', '10.244.2.0', ...entry)
    },
    finds: { check: 'stale-entries', verdict: 'warning', found: /10\.244\.2\.0 at 02:74/ },
  },
])
  t.test(`found: ${why}`, (t) =>
    withClinic(async (clinic) => {
      spoil(clinic)
      const { checks, isWell } = await clinic.diagnose()
      const found = checks.filter(
        ({ check, verdict }) => check === finds.check && verdict === finds.verdict,
      )
      t.match(found[0], finds, JSON.stringify(checks.filter(({ verdict }) => verdict !== 'ok')))
      t.ok(found[0]?.meaning && found[0].remedy, 'it says what it means and what to do')
      t.equal(
        isWell,
        checks.every(({ verdict }) => verdict !== 'error'),
      )
      const { code } = await clinic.ask()
      t.equal(code, isWell ? 0 : 1)
    }),
  )

t.test('a process listens on the tunnel’s port before there is a tunnel', (t) =>
  withClinic(async (clinic) => {
    const script =
      'use IO::Socket::IP; $^F = 99; ' +
      'my $s = IO::Socket::IP->new(LocalPort => 8472, Proto => "udp") or die; system @ARGV'
    const folders = ['--conf-dir', clinic.lists, '--data-dir', clinic.host.dataDir, '--json']
    const words = ['perl', '-e', script, executable, 'doctor', ...folders]
    const { checks } = JSON.parse(clinic.host.netns.exec(words).stdout) as Diagnosed
    t.match(
      checks.find(({ check }) => check === 'tunnel-clash'),
      { verdict: 'error', found: 'a process listens on UDP 8472' },
    )
  }),
)

t.test('what the agent finds is told with the rest', (t) =>
  withClinic(async (clinic) => {
    const finding = {
      check: 'tunnel-blocked',
      severity: 'error',
      meaning: 'something eats UDP 8472',
      remedy: 'let it pass',
      since: healthy.since,
    } as const
    const { checks, isWell } = await clinic.diagnose({
      ...healthy,
      peers: [peer(2)],
      source: { ...healthy.source, connected: false, using: 'known', lastContactSeconds: 700 },
      findings: [2, 3, 4].map((number) => ({ ...finding, subject: `node-${number}` })),
      loops: [{ name: 'fabric', runs: 9, errors: 4, failuresInRow: 4 }],
    })
    t.equal(isWell, false)
    const byName = (name: string) => checks.filter(({ check }) => check === name)
    t.match(byName('tunnel-blocked'), [
      { verdict: 'error', found: 'node-2, node-3, node-4', remedy: 'let it pass' },
    ])
    t.equal(byName('tunnel-blocked').length, 1, 'of many nodes the same is said once')
    t.match(byName('source'), [{ verdict: 'warning', found: /not connected, heard 11 min ago/ }])
    t.match(byName('agent-loop'), [{ verdict: 'error', found: /fabric has failed 4 times/ }])
    t.match(byName('routes'), [{ verdict: 'error', found: /10\.0\.2\.0\/24 missing/ }])
  }),
)

t.test('without root it tells what it sees, and what it does not', (t) =>
  withClinic(async (clinic) => {
    clinic.pod()
    const folders = ['--conf-dir', '/nowhere', '--data-dir', clinic.host.dataDir]
    const words = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
    chmodSync(clinic.host.directory, 0o755)
    const { stdout, stderr } = run([
      ...['nsenter', `--net=${clinic.host.netns.path}`, ...words],
      ...[executable, 'doctor', ...folders],
    ])
    t.match(stdout, /^unknown {2}capabilities .* lacks net_admin and sys_admin/m, stderr)
    t.match(stdout, /^unknown {2}leases/m)
    t.match(stdout, /^error {4}network .*\/nowhere has no network$/m)
  }),
)
