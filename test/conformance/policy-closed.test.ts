import t, { type Test } from 'tap'
import { addedLater, addressesOf, deleted, modes, netconf } from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { Flood } from '../support/flood.ts'
import { emptyIp6Frame, sendFrame } from '../support/frames.ts'
import { type Host, type Pod, uplink, withHost } from '../support/host.ts'
import type { Netns } from '../support/netns.ts'
import { counted, nft, policed, policedConf } from '../support/policed.ts'
import { reaches } from '../support/reach.ts'
import { watchResidue } from '../support/residue.ts'

t.setTimeout(240_000)

// P41: closed from the very first packet, in both directions and families.

const own = { v4: '10.77.0.50', v6: 'fd00:77::50' }
const outside = [uplink.outside.v4, uplink.outside.v6]

/** Counts what comes in from these addresses, whichever link it comes by. */
function countFrom(at: Netns, sources: readonly string[]): () => readonly number[] {
  const rules = sources.map((from) => {
    const family = from.includes(':') ? 'ip6' : 'ip'
    return `${family} saddr ${from} udp dport 4242 counter`
  })
  const hook = 'type filter hook prerouting priority -400;'
  nft(at, `table inet probe { chain in { ${hook}\n${rules.join('\n')}\n}\n}`)
  return () =>
    [...at.exec(['nft', 'list', 'table', 'inet', 'probe']).stdout.matchAll(/packets (\d+)/g)].map(
      ([, packets]) => Number(packets),
    )
}

/** `living` is a pod that no policy holds for; `pod` is about to come. */
type Scene = Readonly<{ host: Host; living: Pod; livings: readonly string[]; pod: Pod }>

async function sceneOf(host: Host, open: Json): Promise<Scene> {
  for (const [family, prefix] of [
    ['-4', '10.77.0.0/24'],
    ['-6', 'fd00:77::/64'],
  ] as const)
    host.outside.ip(
      family,
      'route',
      'add',
      prefix,
      'via',
      uplink.node[family === '-4' ? 'v4' : 'v6'],
    )
  const living = host.pod()
  const livings = addressesOf(await addedLater(living, open))
  return { host, living, livings, pod: host.pod() }
}

/** Everybody sends to everybody while the pod comes: what arrived, from whom and where. */
async function arrivals(scene: Scene, conf: Json): Promise<readonly (readonly number[])[]> {
  const { host, living, livings, pod } = scene
  const addresses = [own.v4, own.v6]
  const reads = [
    countFrom(host.outside, addresses),
    countFrom(living.netns, addresses),
    countFrom(pod.netns, [...outside, ...livings]),
  ]
  const floods = [
    new Flood(pod.netns, [...outside, ...livings]),
    new Flood(host.outside, addresses),
    new Flood(living.netns, addresses),
  ]
  try {
    await Promise.all(floods.slice(1).map((flood) => flood.more(10)))
    await addedLater(pod, conf, { args: `IP=${addresses.join(',')}` })
    await Promise.all(floods.map((flood) => flood.more(300)))
    return reads.map((read) => read())
  } finally {
    await Promise.all(floods.map((flood) => flood.close()))
  }
}

for (const mode of modes) {
  const openConf = (host: Host): Json =>
    netconf(host, {
      mode,
      families: 'dual',
      ipam: { routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }] },
    })

  t.test(`${mode}: without the key everything passes`, (t) =>
    withHost(async (host) => {
      const conf = openConf(host)
      const seen = await arrivals(await sceneOf(host, conf), conf)
      for (const [at, counts] of seen.entries())
        t.ok(
          counts.every((count) => count > 0),
          `${at}: ${counts.join(' ')}`,
        )
    }),
  )

  t.test(`${mode}: not one packet passes before the first verdict (P41)`, (t) =>
    withHost(async (host) => {
      const left = watchResidue(host, [])
      const conf = { ...openConf(host), policy: policedConf(host, mode).policy }
      const scene = await sceneOf(host, openConf(host))
      if (mode === 'bridge') expectHooksOff(t, host)
      const seen = await arrivals(scene, conf)
      t.same(seen, [
        [0, 0],
        [0, 0],
        [0, 0, 0, 0],
      ])
      t.same(policed(host.netns).length, 2)
      t.ok(counted(host.netns, 'closed-egress') > 0, 'what it sent was dropped there')
      t.ok(counted(host.netns, 'closed-ingress') > 0, 'what it was sent, too')
      for (const address of [own.v4, own.v6])
        t.ok(reaches(host.netns, address), `its own node reaches ${address} (P30)`)
      for (const address of scene.livings) t.ok(reaches(host.netns, address), 'and everybody else')
      t.ok(reaches(scene.living.netns, uplink.outside.v4), 'and others pass')
      deleted(scene.pod, conf)
      deleted(scene.living, openConf(host))
      host.outside.ip('-4', 'route', 'flush', '10.77.0.0/24')
      t.same(left(), [])
    }),
  )
}

for (const enforce of [false, true])
  t.test(`a link-local address is ${enforce ? 'no' : 'a'} way past policies to the node`, (t) =>
    withHost(async (host) => {
      const { policy } = policedConf(host, 'routed')
      const conf = netconf(host, {
        mode: 'routed',
        families: 'dual',
        keys: enforce ? { policy } : {},
      })
      const left = watchResidue(host, [])
      const pod = host.pod()
      const result = await addedLater(pod, conf)
      // behind everything else that the node asks
      nft(
        host.netns,
        'table inet probe { chain in { type filter hook input priority 300;\n' +
          'ip6 saddr fe80::4242 counter\n}\n}',
      )
      const [hostEnd, podEnd] = result.interfaces ?? []
      sendFrame(
        pod.netns,
        'eth0',
        emptyIp6Frame({
          source: 'fe80::4242',
          target: 'fd00:77::1',
          sourceMac: podEnd?.mac ?? '',
          targetMac: hostEnd?.mac ?? '',
        }),
      )
      const listed = host.netns.exec(['nft', 'list', 'table', 'inet', 'probe']).stdout
      t.match(listed, `counter packets ${enforce ? 0 : 1} `)
      t.ok(reaches(host.netns, 'fd00:77::2'), 'neighbours find each other')
      nft(host.netns, 'delete table inet probe')
      deleted(pod, conf)
      t.same(left(), [])
    }),
  )

/** ADD itself switches on what shows a bridge's frames to the hooks. */
function expectHooksOff(t: Test, { netns }: Host): void {
  for (const name of ['iptables', 'ip6tables']) {
    const path = `net.bridge.bridge-nf-call-${name}`
    t.equal(netns.exec(['/usr/sbin/sysctl', '-qw', `${path}=0`]).code, 0)
  }
}
