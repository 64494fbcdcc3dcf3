import { t, test } from 'tap'
import { formatAddress } from '../../src/base/address.ts'
import { podKey } from '../../src/cluster/pod.ts'
import { transports } from '../../src/cluster/policy-port.ts'
import { endpointOf } from '../../src/policy/endpoint.ts'
import { fromObjects } from '../../src/policy/from-objects.ts'
import type { Cluster } from '../../src/policy/model.ts'
import type { Connection } from '../../src/policy/verdict.ts'
import { allowedIn, objectsOf, type Step, steps } from '../policy/truth.ts'
import type { Probe } from '../support/prober.ts'
import { Enforcer, isAllowedHere, nodeName } from './enforcer.ts'
import { listed, type PodNet, withPodNet } from './pod-net.ts'

// thousands of packets, on machines that others use too
t.setTimeout(280_000)

type Asked = Readonly<{ probe: Probe; text: string; connection: Connection }>

const v6Of = (v4: string): string => `fd00:192:168::${v4.split('.').at(-1)}`

/** The step's objects, all pods here and with an IPv6 address beside the table's own. */
function clusterOf(step: Step): Cluster {
  const objects = objectsOf(step).map((object) => {
    const { kind, spec, status, ...rest } = object as {
      readonly kind: string
      readonly spec?: object
      readonly status?: { readonly podIPs: readonly { readonly ip: string }[] }
    }
    if (kind !== 'Pod' || !status) return object
    const podIPs = status.podIPs.flatMap(({ ip }) => [{ ip }, { ip: v6Of(ip) }])
    return { ...rest, kind, spec: { ...spec, nodeName }, status: { podIPs } }
  })
  return fromObjects(objects.map((object, at) => ({ place: `object ${at}`, object }))).cluster
}

/** Every port that the table asks for, from each pod to each other one, in one family. */
function askedOf(cluster: Cluster, { Probed }: Step, family: 4 | 6): readonly Asked[] {
  const ends = cluster.pods.flatMap((pod) =>
    pod.addresses
      .filter((address) => address.family === family)
      .map((address) => ({ name: podKey(pod), at: endpointOf(pod, address) })),
  )
  const ports = Object.keys(Probed).flatMap((text) => {
    const [word, port] = text.split('/')
    const protocol = transports.find((one) => one === word)
    return protocol ? [{ protocol, port: Number(port) }] : []
  })
  return ends.flatMap((from) =>
    ends
      .filter((to) => to !== from)
      .flatMap((to) =>
        ports.map(({ protocol, port }) => ({
          probe: { from: from.name, address: formatAddress(to.at.address), protocol, port },
          text: `${from.name}>${to.name} ${protocol}/${port}`,
          connection: { from: from.at, to: to.at, protocol, port },
        })),
      ),
  )
}

/** Each pod of the table once, whatever step it is in first. */
function addPods(net: PodNet, table: readonly Step[]): void {
  for (const { Pods } of table)
    for (const { Ns, Name, IP } of Pods)
      if (!net.pods.has(`${Ns}/${Name}`)) net.addPod(`${Ns}/${Name}`, [IP, v6Of(IP)], [80, 81])
}

test('P40: the truth table holds for packets, SCTP too, each step as a change', async (t) =>
  withPodNet(async (net) => {
    const table = steps()
    t.equal(table.length, 131)
    addPods(net, table)
    const enforcer = new Enforcer(net.node)
    try {
      let packets = 0
      for (const step of table) {
        const name = `case ${step.Case} step ${step.Step}: ${step.Desc}`
        const cluster = clusterOf(step)
        enforcer.enforce(cluster)
        const asked4 = askedOf(cluster, step, 4)
        const asked6 = askedOf(cluster, step, 6)
        const asked = [...asked4, ...asked6]
        const answers = await net.ask(asked.map(({ probe }) => probe))
        const answered = asked.filter((_, at) => answers[at] === 'answered')
        const of = (all: readonly Asked[], some: readonly Asked[]) =>
          some.filter((one) => all.includes(one)).map(({ text }) => text)
        const byTable = t.same(of(asked4, answered).sort(), allowedIn(step), name)
        const byReference = asked6.filter(({ connection }) => isAllowedHere(cluster, connection))
        const isSame = t.same(of(asked6, answered), of(asked6, byReference), `${name}, IPv6`)
        packets += asked.length
        if (byTable && isSame) continue
        t.comment(listed(net))
        return
      }
      t.ok(packets > 131 * 400, `${packets} packets`)
    } finally {
      enforcer.close()
    }
  }))
