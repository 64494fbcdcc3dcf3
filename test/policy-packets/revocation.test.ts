import { type Test, t, test } from 'tap'
import type { Cluster } from '../../src/policy/model.ts'
import { until } from '../agent/running-agent.ts'
import { clusterOf, namespace, np, pod } from '../policy/objects.ts'
import type { FlowCount } from '../support/prober.ts'
import { Enforcer, nodeName } from './enforcer.ts'
import { type PodNet, withPodNet } from './pod-net.ts'

// thousands of packets, on machines that others use too
t.setTimeout(280_000)

// D13: a connection that a change forbids ends with that change, in both directions, and what stays
// allowed does not notice.

const guests = Array.from({ length: 10 }, (_, at) => `shop/guest-${at}`)
const kinds = (['TCP', 'UDP'] as const).flatMap((protocol) =>
  (['client', 'server'] as const).map((by) => ({ protocol, by })),
)
const addressesOf = (number: number): readonly string[] => [
  `10.1.0.${number}`,
  `fd00:1::${number.toString(16)}`,
]

/** The pods, all here, and what policies there are. */
const clusterWith = (...policies: readonly object[]): Cluster =>
  clusterOf(
    namespace('shop'),
    ...['shop/server', 'shop/leaver', ...guests].map((key, at) =>
      pod(key, {
        labels: { app: key.replace(/^shop\/|-\d+$/g, '') },
        ip: addressesOf(at + 1),
        spec: { nodeName },
      }),
    ),
    ...policies,
  )
const letIn = (...apps: readonly string[]) =>
  np('shop/server', {
    podSelector: { matchLabels: { app: 'server' } },
    ingress: [
      {
        from: apps.map((app) => ({ podSelector: { matchLabels: { app } } })),
        ports: [{ port: 80 }, { port: 80, protocol: 'UDP' }],
      },
    ],
  })
const letOut = (...apps: readonly string[]) =>
  np('shop/leaver', {
    podSelector: { matchLabels: { app: 'leaver' } },
    policyTypes: ['Egress'],
    // a rule without peers would be about anybody
    egress: apps.map((app) => ({ to: [{ podSelector: { matchLabels: { app } } }] })),
  })

type Flows = Readonly<{ leavers: readonly FlowCount[]; guests: readonly FlowCount[] }>

/** Eight flows of who has to leave, and a hundred beside them. */
async function begin(net: PodNet): Promise<() => Promise<Flows>> {
  const to = (from: string, family: 4 | 6, protocol: 'TCP' | 'UDP') => ({
    ...{ from, protocol, port: 80 },
    address: net.address('shop/server', family),
  })
  let leavers = 0
  for (const { protocol, by } of kinds)
    for (const family of [4, 6] as const) {
      await net.prober.flow(to('shop/leaver', family, protocol), { by, intervalMilliseconds: 5 })
      leavers++
    }
  for (const [at, guest] of guests.entries())
    for (const { protocol, by } of [...kinds, ...kinds, ...kinds].slice(0, 10))
      await net.prober.flow(to(guest, at % 2 ? 4 : 6, protocol), { by, intervalMilliseconds: 20 })
  return async () => {
    const all = await net.prober.flows()
    return { leavers: all.slice(0, leavers), guests: all.slice(leavers) }
  }
}

const least = (counts: readonly FlowCount[]): number =>
  Math.min(...counts.map(({ served, echoed }) => Math.min(served, echoed)))

/** What both ends received since: nothing, or each flow's bytes. */
const received = ({ served, echoed }: FlowCount, by: 'client' | 'server'): readonly number[] =>
  // who pushes counts what it sent, not what came
  by === 'client' ? [served, echoed] : [echoed]

async function revoke(t: Test, open: Cluster, closed: Cluster): Promise<void> {
  await withPodNet(async (net) => {
    for (const [at, key] of ['shop/server', 'shop/leaver', ...guests].entries())
      net.addPod(key, addressesOf(at + 1), key === 'shop/server' ? [80] : [])
    const enforcer = new Enforcer(net.node)
    try {
      enforcer.enforce(open)
      const read = await begin(net)
      const running = await until('all flows run', async () => {
        const flows = await read()
        return least([...flows.leavers, ...flows.guests]) >= 5 ? flows : undefined
      })
      t.equal(running.leavers.length + running.guests.length, 108)
      enforcer.enforce(closed)
      const { leavers: atCommit, guests: before } = await read()
      const beyond = least(before) + 50
      const after = await until('50 messages more of each guest', async () => {
        const flows = await read()
        return least(flows.guests) >= beyond ? flows : undefined
      })
      for (const [at, flow] of after.leavers.entries()) {
        const { protocol, by } = kinds[at >> 1] ?? { protocol: 'TCP', by: 'client' }
        const was = atCommit[at]
        const what = `${protocol} IPv${at % 2 ? 6 : 4}, sent by the ${by}: nothing after the change`
        t.same(received(flow, by), was && received(was, by), what)
      }
      t.same(
        after.guests.filter(({ retransmits }) => retransmits > 0),
        [],
        'nothing sent twice',
      )
      const isWhole = ({ sent, served, echoed }: FlowCount, at: number) =>
        kinds[(at % 10) % kinds.length]?.by === 'client' ? sent === echoed : served === echoed
      await until('a moment with all datagrams there', async () =>
        (await read()).guests.every(isWhole),
      )
      t.pass('nothing of the allowed ones was lost')
      enforcer.enforce(open)
      await until('what is allowed again goes on', async () => {
        const { leavers } = await read()
        return leavers.every(({ echoed }, at) => echoed > (after.leavers[at]?.echoed ?? 0))
      })
      t.pass('flows go on once they are allowed again')
    } finally {
      enforcer.close()
    }
  })
}

test('P36, P38: a peer that ingress lets in no longer stops at once, a hundred others go on', (t) =>
  revoke(t, clusterWith(letIn('guest', 'leaver')), clusterWith(letIn('guest'))))

test('D13: so does a pod whose egress no longer lets it out', (t) =>
  revoke(t, clusterWith(letOut('server')), clusterWith(letOut('guest'))))

test('D13: so does a pod that a first policy isolates', (t) =>
  revoke(t, clusterWith(), clusterWith(letOut())))

test('D13: so does a pod whose labels no longer fit', (t) => {
  const open = clusterWith(letIn('guest', 'leaver'))
  const pods = open.pods.map((one) =>
    one.labels.get('app') === 'leaver' ? { ...one, labels: new Map([['app', 'gone']]) } : one,
  )
  return revoke(t, open, { ...open, pods })
})
