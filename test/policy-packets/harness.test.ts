import { test } from 'tap'
import type { Probe } from '../support/prober.ts'
import { type PodNet, withPodNet } from './pod-net.ts'

const pods = ['x/a', 'x/b', 'y/a'] as const
const ports = [80, 81] as const

function everyProbe(net: PodNet): readonly Probe[] {
  return ([4, 6] as const).flatMap((family) =>
    pods.flatMap((from) =>
      pods
        .filter((to) => to !== from)
        .flatMap((to) => [
          ...(['TCP', 'UDP', 'SCTP'] as const).flatMap((protocol) =>
            ports.map((port) => ({ from, address: net.address(to, family), protocol, port })),
          ),
          { from, address: net.address(to, family), protocol: 'ICMP' as const },
        ]),
    ),
  )
}

const firewall = (rules: string) => `
table inet firewall {
  chain post {
    type filter hook postrouting priority 90; policy accept;
    ${rules}
  }
}`

test('what the node drops is silent, and all else is answered', (t) =>
  withPodNet(async (net) => {
    for (const [at, pod] of pods.entries())
      net.addPod(pod, [`192.168.1.${at + 1}`, `fd00:1::${at + 1}`], ports)
    const probes = everyProbe(net)
    const silent = async () => {
      const answers = await net.ask(probes)
      t.equal(answers.length, probes.length)
      return probes.filter((_, at) => answers[at] === 'silent')
    }
    t.same(await silent(), [], 'nothing drops')
    const cases: readonly (readonly [string, (probe: Probe) => boolean])[] = [
      [
        'ip daddr 192.168.1.2 tcp dport 81 drop',
        (p) => p.address === '192.168.1.2' && p.protocol === 'TCP' && p.port === 81,
      ],
      [
        'ct direction original ip6 saddr fd00:1::3 meta l4proto udp drop',
        (p) => p.from === 'y/a' && p.protocol === 'UDP' && p.address.includes(':'),
      ],
      [
        'meta l4proto sctp ct reply proto-src 80 drop',
        (p) => p.protocol === 'SCTP' && p.port === 80,
      ],
      ['icmp type echo-request drop', (p) => p.protocol === 'ICMP' && !p.address.includes(':')],
      ['ct state new drop', () => true],
    ]
    for (const [rule, isDropped] of cases) {
      const done = net.node.exec(['/usr/sbin/nft', '-f', '-'], { input: firewall(rule) })
      t.equal(done.code, 0, done.stderr)
      t.same(await silent(), probes.filter(isDropped), rule)
      net.node.exec(['/usr/sbin/nft', 'delete', 'table', 'inet', 'firewall'])
    }
    t.same(await silent(), [], 'nothing drops again')
  }))

test('a port that nobody listens on is no silence', (t) =>
  withPodNet(async (net) => {
    for (const [at, pod] of pods.entries()) net.addPod(pod, [`192.168.1.${at + 1}`], ports)
    const probe = { from: 'x/a', address: '192.168.1.2', protocol: 'TCP', port: 82 } as const
    await t.rejects(net.ask([probe]), /1 passed and 0 were answered/)
  }))
