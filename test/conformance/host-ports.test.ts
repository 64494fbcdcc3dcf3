import t, { type Test } from 'tap'
import {
  add,
  added,
  addressesOf,
  check,
  deleted,
  modes,
  netconf,
  refusalOf,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Host, uplink, withHost } from '../support/host.ts'
import {
  answerTo,
  containerPort,
  defaultRoutes,
  hostPort,
  mapped,
  modesAndBridging,
  namesOf,
  serve,
  setBridgeNetfilter,
  type Way,
  ways,
} from '../support/host-ports.ts'
import type { Netns } from '../support/netns.ts'
import { watchResidue } from '../support/residue.ts'
import { asked, listen } from '../support/sockets.ts'

t.setTimeout(240_000)

const network = (host: Host, mode: (typeof modes)[number], keys: Json = {}): Json =>
  netconf(host, {
    mode,
    families: 'dual',
    keys: { ipMasq: true, ...keys },
    ipam: { routes: defaultRoutes },
  })
const withPorts = (runtimeConfig: Json): Json => ({ runtimeConfig })

/** What the host keeps of a link that `ip` and `nft` do not show, or the residue overlooks. */
const loopbackState = (netns: Netns): readonly string[] => [
  netns.ip('-6', 'route', 'show', 'table', 'local', 'proto', '116').trim(),
  netns.exec(['/bin/sh', '-c', 'grep -l 1 /proc/sys/net/ipv4/conf/*/route_localnet']).stdout.trim(),
]

type Variant = (typeof modesAndBridging)[number]

/** Whom the pod answers, and by whose address it knows them. */
function expected({ from, to }: Way, { mode, bridgeNetfilter }: Variant): string {
  if (from === 'outside') return 'outside → pod'
  if (from === 'itself') return 'gateway → pod'
  const isBridged = mode === 'bridge'
  // Frames from port to port come back through the host's hooks there, and need no masquerade.
  if (from === 'other')
    return isBridged && bridgeNetfilter === '0' ? 'gateway → pod' : 'other → pod'
  // br_netfilter puts ::1 into the frame again before IPv6 sees it, and IPv6 drops it.
  if (to === '::1' && isBridged && bridgeNetfilter === '1') return 'nobody'
  return to === '127.0.0.1' || to === '::1' ? 'gateway → pod' : 'node → pod'
}

async function expectReached(t: Test, host: Host, variant: Variant): Promise<void> {
  setBridgeNetfilter(host.netns, variant.bridgeNetfilter)
  const [pod, other] = [host.pod(), host.pod()]
  const left = watchResidue(host, [pod.netns, other.netns])
  const before = loopbackState(host.netns)
  const conf = network(host, variant.mode, withPorts(mapped()))
  const own = addressesOf(added(pod, conf))
  const plain = network(host, variant.mode)
  const others = addressesOf(added(other, plain))
  const close = await serve(pod.netns, 'pod')
  const pods = { pod, other, addresses: namesOf(own, others) }
  for (const way of ways)
    t.equal(answerTo(way, pods), expected(way, variant), `${way.protocol} ${way.from} ${way.to}`)
  close()
  deleted(pod, plain) // without runtimeConfig: the record tells
  t.same(loopbackState(host.netns), before, 'the shared link is as it was')
  deleted(other, plain)
  t.same(left(), [])
}

for (const variant of modesAndBridging)
  t.test(`${variant.mode}, br_netfilter ${variant.bridgeNetfilter}: a host port is reached`, (t) =>
    withHost((host) => expectReached(t, host, variant)),
  )

const tcp = (address: string, port = hostPort) => ({ protocol: 'tcp', address, port }) as const

for (const mode of modes) {
  t.test(`${mode}: only this host's addresses are translated (CVE-2025-67499)`, (t) =>
    withHost(async (host) => {
      const [pod, other] = [host.pod(), host.pod()]
      const conf = network(host, mode, withPorts(mapped()))
      added(pod, conf)
      added(other, network(host, mode))
      const close = await serve(pod.netns, 'pod')
      const far = await listen(host.outside, { ...tcp('0.0.0.0'), name: 'far' })
      for (const netns of [host.netns, other.netns, pod.netns])
        t.match(asked(netns, tcp(uplink.outside.v4)), / far$/, netns.name)
      t.match(asked(host.outside, tcp(uplink.node.v4)), / pod$/)
      far.close()
      close()
    }),
  )

  t.test(`${mode}: a host port of one address`, (t) =>
    withHost(async (host) => {
      host.netns.ip('addr', 'add', '192.0.2.7/24', 'dev', 'up0')
      const [pod, second, third] = [host.pod(), host.pod(), host.pod()]
      const asking = (hostIP: string, port = hostPort): Json =>
        network(host, mode, {
          runtimeConfig: { portMappings: [{ hostPort: port, containerPort, hostIP }] },
        })
      added(pod, asking(uplink.node.v4))
      added(second, asking('192.0.2.7'))
      const closes = [await serve(pod.netns, 'one'), await serve(second.netns, 'two')]
      t.match(asked(host.netns, tcp(uplink.node.v4)), / one$/)
      t.match(asked(host.netns, tcp('192.0.2.7')), / two$/)
      t.equal(asked(host.netns, tcp('127.0.0.1')), undefined)
      t.equal(asked(host.netns, tcp(uplink.node.v6)), undefined, 'nor the other family')
      const every = refusalOf(add(third, asking('')))
      t.equal(every?.code, 106, 'every address is one of these too')
      t.match(every?.details, /tcp port 8080 of this host leads to net\/tt-pod-.*\/eth0 already/)
      const same = refusalOf(add(third, asking('192.0.2.7')))
      t.match(
        same?.details,
        `tcp port 8080 of 192.0.2.7 of this host leads to net/${second.container}/eth0`,
      )
      added(third, asking('', 8081))
      t.match(refusalOf(add(host.pod(), asking('192.0.2.7', 8081)))?.details, third.container)
      deleted(second, asking(''))
      added(second, asking('192.0.2.7'))
      for (const close of closes) close()
    }),
  )

  t.test(`${mode}: UDP goes to the next pod, whoever had the port before`, (t) =>
    withHost(async (host) => {
      const client = {
        protocol: 'udp',
        address: uplink.node.v4,
        port: hostPort,
        from: 40_000,
      } as const
      const known = (): string =>
        host.netns.exec(['conntrack', '-L', '-p', 'udp', '--sport', '40000']).stdout
      const conf = network(host, mode, withPorts(mapped()))
      const [first, second] = [host.pod(), host.pod()]
      added(host.pod(), network(host, mode)) // connections are known while rules want it
      added(first, conf)
      const closeFirst = await serve(first.netns, 'first')
      t.match(asked(host.outside, client), / first$/)
      t.match(known(), 'dport=8080', 'the kernel knows the connection')
      deleted(first, conf)
      closeFirst()
      t.equal(known(), '', 'DEL forgets it')
      t.equal(asked(host.outside, client), undefined)
      t.match(known(), 'dport=8080', 'a client that goes on is known as one of the host itself')
      added(second, conf)
      const closeSecond = await serve(second.netns, 'second')
      t.match(asked(host.outside, client), / second$/)
      closeSecond()
    }),
  )

  t.test(`${mode}: what listens on the host's loopback is not for pods (CVE-2020-8558)`, (t) =>
    withHost(async (host) => {
      const pod = host.pod()
      added(pod, network(host, mode, withPorts(mapped())))
      const secret = await listen(host.netns, { ...tcp('127.0.0.1', 9999), name: 'secret' })
      pod.netns.ip('addr', 'flush', 'dev', 'lo')
      pod.netns.exec(['/bin/sh', '-c', 'echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet'])
      pod.netns.ip('route', 'add', '127.0.0.1', 'via', '10.77.0.1', 'dev', 'eth0', 'onlink')
      t.equal(asked(pod.netns, tcp('127.0.0.1', 9999)), undefined)
      host.netns.exec(['nft', 'flush', 'chain', 'inet', 'tulle', 'prerouting'])
      t.match(asked(pod.netns, tcp('127.0.0.1', 9999)), / secret$/, 'but for our rule it would be')
      secret.close()
    }),
  )

  t.test(`${mode}: CHECK says what is missing`, (t) =>
    withHost((host) => {
      const pod = host.pod()
      const conf = network(host, mode, withPorts(mapped()))
      const result = added(pod, conf)
      t.equal(check(pod, conf, result).code, 0)
      const gate =
        mode === 'bridge'
          ? 'cni0'
          : String(result.interfaces?.find((one) => one.sandbox === undefined)?.name)
      const path = `/proc/sys/net/ipv4/conf/${gate}/route_localnet`
      host.netns.exec(['/bin/sh', '-c', `echo 0 > ${path}`])
      t.match(refusalOf(check(pod, conf, result))?.details, 'route_localnet is not 1')
      host.netns.exec(['/bin/sh', '-c', `echo 1 > ${path}`])
      const element = ['hostport4', '{', 'tcp', '.', String(hostPort), '}']
      host.netns.exec(['nft', 'delete', 'element', 'inet', 'tulle', ...element])
      t.match(refusalOf(check(pod, conf, result))?.details, 'set hostport4 lacks')
    }),
  )
}

t.test('a port that a process of the host listens on is refused on request', (t) =>
  withHost(async (host) => {
    const busy = await listen(host.netns, tcp('127.0.0.1'))
    const asking = (keys: Json): Json =>
      network(host, 'routed', { ...withPorts(mapped()), ...keys })
    const pod = host.pod()
    const left = watchResidue(host, [pod.netns])
    const refusal = refusalOf(add(pod, asking({ refuseBusyPorts: true })))
    t.equal(refusal?.code, 106)
    t.match(refusal?.details, 'listens on tcp 127.0.0.1:8080')
    t.same(left(), [])
    busy.close()
    added(pod, asking({ refuseBusyPorts: true }))
    deleted(pod, asking({}))
    t.same(left(), [])
  }),
)

t.test('snat false and masqAll', (t) =>
  withHost(async (host) => {
    for (const [keys, seen] of [
      [{ snat: false }, uplink.outside.v4],
      [{ masqAll: true }, '10.77.0.1'],
    ] as const) {
      const pod = host.pod()
      const conf = network(host, 'routed', { ...withPorts(mapped()), ...keys })
      added(pod, conf)
      const close = await serve(pod.netns, 'pod')
      t.equal(asked(host.outside, tcp(uplink.node.v4)), `${seen} pod`, JSON.stringify(keys))
      if ('snat' in keys) t.equal(asked(host.netns, tcp('127.0.0.1')), undefined)
      close()
      deleted(pod, conf)
    }
  }),
)
