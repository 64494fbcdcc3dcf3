import fc from 'fast-check'
import { t, test } from 'tap'
import { formatAddress, parseAddress } from '../../src/base/address.ts'
import { type Endpoint, endpointAt } from '../../src/policy/endpoint.ts'
import type { Cluster } from '../../src/policy/model.ts'
import type { Connection } from '../../src/policy/verdict.ts'
import { clusterOf } from '../policy/objects.ts'
import { pods, policies, spaces } from '../policy/random.ts'
import type { Probe } from '../support/prober.ts'
import { Enforcer, isAllowedHere } from './enforcer.ts'
import { type PodNet, withPodNet } from './pod-net.ts'

// Addresses that random clusters have their pods at, the other node, and three places outside.
const places: readonly (readonly [name: string, ...addresses: string[]])[] = [
  ...[1, 2, 3, 4].map((at) => [`pod-${at}`, `10.0.0.${at}`, `fd00::${at}`] as const),
  ['node-2', '192.168.0.2'],
  ['world-7', '192.0.2.7', '2001:db8::1'],
  ['world-200', '192.0.2.200'],
  ['world-9', '10.0.0.9'],
]
const ports = [80, 81, 82]
const asked = [
  ...[80, 81, 82].map((port) => ({ protocol: 'TCP', port }) as const),
  ...[80, 81].map((port) => ({ protocol: 'UDP', port }) as const),
  { protocol: 'SCTP', port: 80 } as const,
  { protocol: 'ICMP' } as const,
]

type Question = Readonly<{ probe: Probe; connection: Connection }>

function questionsOf(cluster: Cluster): readonly Question[] {
  const ends = places.flatMap(([name, ...addresses]) =>
    addresses.map((text) => {
      const address = parseAddress(text)
      if (!address) throw new Error(`Cannot read ${text}`)
      return { name, at: endpointAt(cluster, address) as Endpoint }
    }),
  )
  return ends.flatMap((from) =>
    ends
      .filter((to) => to.name !== from.name && to.at.address.family === from.at.address.family)
      .flatMap((to) =>
        asked.map((one) => ({
          probe: { from: from.name, address: formatAddress(to.at.address), ...one },
          connection: { from: from.at, to: to.at, ...one },
        })),
      ),
  )
}

/** One line for each packet that went otherwise than the reference says. */
async function differences(net: PodNet, cluster: Cluster): Promise<readonly string[]> {
  const questions = questionsOf(cluster)
  const answers = await net.ask(questions.map(({ probe }) => probe))
  return questions.flatMap(({ probe, connection }, at) => {
    const isAllowed = isAllowedHere(cluster, connection)
    if (isAllowed === (answers[at] === 'answered')) return []
    const what = `${probe.from} > ${probe.address} ${probe.protocol} ${probe.port ?? ''}`
    return [`${what}: ${answers[at]}, the reference says ${isAllowed ? 'allowed' : 'denied'}`]
  })
}

const runs = Number(process.env.TULLE_PACKET_RUNS ?? 60)
t.setTimeout(120_000 + runs * 1000)

test('law: packets go as the reference says, whatever the policies, change after change', (t) =>
  withPodNet(async (net) => {
    for (const [name, ...addresses] of places) net.addPod(name, addresses, ports)
    const enforcer = new Enforcer(net.node)
    let rounds = 0
    try {
      const law = fc.asyncProperty(pods, policies, async (all, some) => {
        const cluster = clusterOf(...spaces, ...all, ...some)
        // now and then all anew, as an agent does that has found its table changed
        if (++rounds % 8 === 0) enforcer.load(cluster)
        else enforcer.enforce(cluster)
        const odd = await differences(net, cluster)
        if (odd.length > 0) throw new Error(odd.slice(0, 12).join('\n'))
      })
      const details = await fc.check(law, { numRuns: runs })
      t.equal(details.failed ? fc.defaultReportMessage(details) : 'holds', 'holds')
    } finally {
      enforcer.close()
    }
  }))
