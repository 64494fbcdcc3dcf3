import t from 'tap'
import { added, netconf } from '../support/attachment.ts'
import { type Host, withHost } from '../support/host.ts'
import type { Ran } from '../support/netns.ts'
import { type Asked, healthy, peer, policyStatus, toolBeside } from './agent-stub.ts'

t.setTimeout(120_000)

const status = (host: Host, says: Asked['says'], ...words: readonly string[]): Promise<Ran> =>
  toolBeside({
    words: ['status', '--data-dir', host.dataDir, ...words],
    folder: host.directory,
    node: host.netns,
    ...(says === undefined ? {} : { says }),
  })

t.test('policies on the screen, where they are enforced', (t) =>
  withHost(async (host) => {
    const plain = await status(host, healthy)
    t.notMatch(plain.stdout, /^policy/m)
    const refusals = [
      { action: 'deny', direction: 'ingress', policies: ['shop/api'], packets: 3, bytes: 180 },
      { action: 'deny', direction: 'egress', policies: ['shop/a', 'shop/b'], packets: 9, bytes: 1 },
      { action: 'deny', direction: 'egress', policies: ['shop/c'], packets: 0, bytes: 0 },
      { action: 'audit', direction: 'egress', policies: ['x/y'], packets: 1, bytes: 60 },
    ] as const
    const { stdout } = await status(host, {
      ...healthy,
      policy: {
        ...policyStatus,
        oddPolicies: 1,
        lastSeconds: 0.0021,
        pending: 'ENOBUFS',
        lagSeconds: 4,
        waiting: ['shop/db-0'],
        refused: refusals,
        nodePortsRefused: 5,
      },
    })
    for (const says of [
      /^policy +7 policies, 1 not wholly in force; 2 pod .* \(5 profiles, 214 .*\); .* 3 ms$/m,
      /^enforced +ciliumnetworkpolicies 77, networkpolicies 120; NOT YET: ENOBUFS, for 4 s$/m,
      /^closed +shop\/db-0: not known yet$/m,
      /^refused +12 packets \(egress shop\/a\+shop\/b 9, ingress shop\/api 3\)$/m,
      /^would refuse +1 packets \(egress x\/y 1\)$/m,
      /^node ports +5 packets refused$/m,
    ])
      t.match(stdout, says)
  }),
)

t.test('one screen: this node, its peers, and what is wrong', (t) =>
  withHost(async (host) => {
    const probe = { state: 'ok', at: healthy.since, rttMs: 0.42 } as const
    const failing = { state: 'failing', at: healthy.since, finding: 'eaten: UDP 8472' } as const
    const { code, stdout } = await status(host, {
      ...healthy,
      peers: [
        peer(2, { probe }),
        peer(3, { probe: failing }),
        peer(4, { problem: 'its podCIDR overlaps' }),
        peer(5, { isFlannel: true }),
      ],
      drift: {
        repairs: 3,
        byKind: { route: 2, fdb: 1 },
        lastRepair: { at: healthy.since, what: 'route 10.0.2.0/24' },
      },
      findings: [
        {
          ...{ check: 'duplicate-pod-cidr', subject: 'node-4', severity: 'error' },
          ...{ meaning: 'two nodes', remedy: 'give one another', since: healthy.since },
        },
      ],
      lastErrors: [{ at: healthy.since, where: 'fabric', text: 'EPERM' }],
      loops: [{ name: 'fabric', runs: 9, errors: 4, failuresInRow: 4 }],
    })
    t.equal(code, 0)
    for (const says of [
      /^node-a {2}ready {2}tulle 0\.1\.0, agent 4711, up 3 h$/m,
      /^source +kubernetes https:\/\/10\.96\.0\.1 {2}connected, heard 12 s ago$/m,
      /^podCIDRs +10\.244\.1\.0\/24$/m,
      /^uplink +eth0 10\.0\.0\.1 MTU 1500$/m,
      /^tunnel +tulle\.1 VNI 1 UDP 8472 from 10\.0\.0\.1 MTU 1450 MAC 02:74:0a:00:00:01$/m,
      /^leases +3 held, 250 free \(10\.244\.1\.0\/24 3 of 253\)$/m,
      /^drift +3 put back \(route 2, fdb 1\); last 3 h ago: route 10\.0\.2\.0\/24$/m,
      /^changes +the last took 12 ms$/m,
      /^4 peers: 3 vxlan, 1 vxlan \(flannel\); 2 with a problem$/m,
      /^PEER +ADDRESSES +PODCIDRS +MODE +PROBE$/m,
      /^node-2 +10\.0\.0\.2 +10\.0\.2\.0\/24 +vxlan +ok 0\.42 ms$/m,
      /^node-3 .* vxlan +failing: eaten: UDP 8472$/m,
      /^node-4 .* its podCIDR overlaps$/m,
      /^error {2}duplicate-pod-cidr node-4: two nodes\n {2}give one another$/m,
      /^loop fabric has failed 4 times in a row$/m,
      /^3 h ago +fabric +EPERM$/m,
    ])
      t.match(stdout, says)
    t.notMatch(stdout, '\u001b', 'no colour in a pipe')
  }),
)

t.test('5,000 peers: a summary and those with problems; --all for every one', (t) =>
  withHost(async (host) => {
    const peers = Array.from({ length: 5_000 }, (_, at) =>
      peer(at, at % 500 === 7 ? { problem: 'no address' } : {}),
    )
    const { stdout } = await status(host, { ...healthy, peers })
    t.match(stdout, /^5000 peers: 5000 vxlan; 10 with a problem$/m)
    t.equal(stdout.match(/^node-\d/gm)?.length, 10)
    t.match(stdout, '… and 4990 more: "tulle status --all"')
    t.ok(stdout.split('\n').length < 40, 'one screen')
    const all = await status(host, { ...healthy, peers }, '--all')
    t.equal(all.stdout.match(/^node-\d/gm)?.length, 5_000)
    const json = await status(host, { ...healthy, peers }, '--json')
    t.equal(JSON.parse(json.stdout).agent.peers.length, 5_000, 'JSON has them all')
  }),
)

for (const { why, keys, says } of [
  {
    why: 'a source that is silent',
    keys: {
      source: {
        ...healthy.source,
        ...{ connected: false, using: 'known' as const, error: 'ECONNREFUSED' },
      },
    },
    says: /NOT CONNECTED, heard 12 s ago, what was last known is used: ECONNREFUSED/,
  },
  { why: 'an agent that has not begun', keys: { ready: false }, says: /node-a {2}NOT READY/ },
  {
    why: 'a kernel that is not yet as wanted',
    keys: { convergence: { pending: 'EBUSY' } },
    says: /^changes +none yet; NOT YET: EBUSY$/m,
  },
  { why: 'a node alone', keys: {}, says: /^no peers$/m },
])
  t.test(`status: ${why}`, (t) =>
    withHost(async (host) => {
      const { self: _, ...blind } = healthy
      const { stdout } = await status(host, {
        ...(keys.ready === false ? blind : healthy),
        ...keys,
      })
      t.match(stdout, says)
      if (keys.ready === false) t.match(stdout, /^addresses +not known yet$/m)
    }),
  )

t.test('without an agent: what the kernel and the store tell', (t) =>
  withHost(async (host) => {
    added(host.pod(), netconf(host, { mode: 'routed', families: 'dual' }))
    const vxlan = ['type', 'vxlan', 'id', '1', 'dstport', '8472', 'local', '192.0.2.1']
    host.netns.ip('link', 'add', 'tulle.1', 'address', '02:74:c0:00:02:01', ...vxlan)
    host.netns.ip('link', 'set', 'tulle.1', 'mtu', '1450', 'up')
    const way = ['via', '10.244.2.0', 'dev', 'tulle.1', 'onlink', 'proto', '116']
    host.netns.ip('route', 'add', '10.244.2.0/24', ...way)
    host.netns.ip('route', 'add', '10.244.3.0/24', 'via', '192.0.2.2', 'proto', '116')
    const { code, stdout } = await status(host, undefined)
    t.equal(code, 0)
    t.match(stdout, /no agent answers \(.*agent\.sock: no such socket\)/)
    t.match(stdout, /^tunnel +tulle\.1 VNI 1 UDP 8472 from 192\.0\.2\.1 MTU 1450 MAC 02:74:c0/m)
    t.match(stdout, /^routes +1 vxlan, 1 direct; 1 lead nowhere: see "tulle routes"$/m)
    t.match(stdout, /^leases +2 held by 1 interfaces/m)
    const json = JSON.parse((await status(host, undefined, '--json')).stdout)
    t.match(json, {
      agent: null,
      routes: { direct: 1, vxlan: 1, broken: 1 },
      devices: [{ name: 'tulle.1', vni: 1, port: 8472, local: '192.0.2.1', mtuBytes: 1450 }],
    })
  }),
)

t.test('what listens there is no agent: said in one line', (t) =>
  withHost(async (host) => {
    const { code, stderr } = await status(host, '<html>')
    t.equal(code, 1)
    t.match(
      stderr,
      /^tulle: what listens at .*agent\.sock is no agent of Tulle: it sends no JSON$/m,
    )
  }),
)
