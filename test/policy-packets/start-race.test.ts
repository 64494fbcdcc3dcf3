import { t, test } from 'tap'
import { until } from '../agent/running-agent.ts'
import { namespace, np } from '../policy/objects.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { Prober, type RaceEnd } from '../support/prober.ts'
import { AgentNode, podObject, type RunningPod } from './agent-node.ts'

// P41: a pod is closed before its first packet, whoever sends it and however early. Somebody sits
// in the pod's namespace before there is a network and sends all the time; the receivers' own
// kernels count what comes.

const podsInAll = Number(process.env.TULLE_RACE_PODS ?? 100)
const podsAtOnce = 10
t.setTimeout(120_000 + podsInAll * 1500)

const port = 9000
const racer = { app: 'racer' }

/** Racers may reach `welcome` and nobody else; `guarded` lets nobody in. */
const policies = [
  namespace('race'),
  np('race/racers', {
    podSelector: { matchLabels: racer },
    policyTypes: ['Ingress', 'Egress'],
    egress: [{ to: [{ podSelector: { matchLabels: { app: 'welcome' } } }] }],
  }),
  np('race/guarded', {
    podSelector: { matchLabels: { app: 'guarded' } },
    ingress: [{ from: [{ podSelector: { matchLabels: { app: 'nobody' } } }] }],
  }),
]
/** `outside` has no policy of its own: only the racers' egress keeps them away from it. */
const receivers = ['race/welcome', 'race/guarded', 'race/outside'] as const
const nameOf = (key: string): string => key.slice('race/'.length)

/** Counts in the receiver's namespace, where nothing of Tulle's is. */
function countIn(netns: Netns): () => { readonly packets: number } {
  const rules = `table inet seen {
    chain in {
      type filter hook prerouting priority -300;
      meta l4proto { tcp, udp } th dport ${port} counter
    }
  }
`
  const done = netns.exec(['/usr/sbin/nft', '-f', '-'], { input: rules })
  if (done.code !== 0) throw new Error(`Cannot count: ${done.stderr}`)
  return () => {
    const { stdout } = netns.exec(['/usr/sbin/nft', 'list', 'table', 'inet', 'seen'])
    const counts = [...stdout.matchAll(/packets (\d+)/g)].map(([, packets]) => Number(packets))
    return { packets: counts.reduce((sum, count) => sum + count, 0) }
  }
}

type Raced = Readonly<{ early: RaceEnd; late: RaceEnd; milliseconds: number }>

class Race {
  readonly node = new AgentNode(['10.244.0.0/20', 'fd10:1::/64'])
  readonly #servers = new Prober()
  readonly #racers = new Prober()
  readonly #receivers: RunningPod[] = []

  async begin(): Promise<void> {
    this.node.write('policies.yaml', policies)
    const all = receivers.map((key) => podObject({ key, labels: { app: nameOf(key) } }))
    this.node.write('receivers.yaml', all)
    await this.node.start()
    for (const key of receivers) {
      const pod = await this.node.addPod(key, makeNetns('pod'))
      this.#receivers.push(pod)
      this.#servers.addPod(key, pod.netns)
      for (const protocol of ['TCP', 'UDP'] as const) this.#servers.listen(key, protocol, port)
    }
    await this.#servers.sync()
  }

  receiver(key: (typeof receivers)[number]): RunningPod {
    const found = this.#receivers.find((pod) => pod.key === key)
    if (!found) throw new Error(`Cannot find ${key}`)
    return found
  }

  /** What a wave of pods is, before any of them has a sandbox. */
  tellOf(keys: readonly string[], labels: Readonly<Record<string, string>>): void {
    this.node.write(
      'racers.yaml',
      keys.map((key) => podObject({ key, labels })),
    )
  }

  /** From somebody's being in the namespace to the pod's end. */
  async run(key: string, forbidden: readonly string[]): Promise<Raced> {
    const netns = makeNetns('pod')
    const welcome = this.receiver('race/welcome').addresses
    try {
      this.#racers.addPod(key, netns)
      await this.#racers.race(key, port, welcome[0] ?? '', forbidden)
      const pod = await this.node.addPod(key, netns)
      const early = await this.#racers.endRace(key)
      // what starts once ADD has returned meets no closed door
      await this.#racers.race(key, port, welcome[1] ?? '', forbidden)
      const late = await until('a connection', async () => {
        const end = await this.#racers.endRace(key)
        if (end.isConnected) return end
        await this.#racers.race(key, port, welcome[1] ?? '', forbidden)
        return undefined
      })
      this.#racers.dropPod(key)
      await this.#racers.sync()
      const ran = await this.node.removePodLater(pod)
      if (ran.code !== 0) throw new Error(`DEL of ${key}: ${ran.stdout}`)
      return { early, late, milliseconds: pod.milliseconds }
    } finally {
      netns.close()
    }
  }

  async close(): Promise<void> {
    this.#racers.close()
    this.#servers.close()
    for (const { netns } of this.#receivers) netns.close()
    await this.node.close()
  }
}

test(`P41: of ${podsInAll} pods that send before they have a network nothing leaks`, async (t) => {
  const race = new Race()
  try {
    await race.begin()
    const guarded = [race.receiver('race/guarded'), race.receiver('race/outside')]
    const counts = guarded.map(({ netns }) => countIn(netns))
    const forbidden = guarded.flatMap(({ addresses }) => addresses)
    const raced: Raced[] = []
    for (let first = 0; first < podsInAll; first += podsAtOnce) {
      const keys = Array.from(
        { length: Math.min(podsAtOnce, podsInAll - first) },
        (_, at) => `race/racer-${first + at}`,
      )
      race.tellOf(keys, racer)
      raced.push(...(await Promise.all(keys.map((key) => race.run(key, forbidden)))))
    }
    t.equal(raced.length, podsInAll)
    t.same(
      counts.map((read) => read().packets),
      [0, 0],
      'leaked packets',
    )
    const sent = raced.reduce((sum, { early }) => sum + early.sent, 0)
    t.ok(sent > podsInAll * 2, `${sent} datagrams were sent before ADD had returned`)
    t.ok(
      raced.every(({ early }) => early.tries > 1),
      'all tried before there was a network',
    )
    t.same(
      raced.filter(({ late }) => !late.isConnected),
      [],
      'allowed connections that hang',
    )
    t.same(
      raced.filter(({ late }) => late.retransmits > 0),
      [],
      'none waits for a second SYN',
    )
    const times = raced.map(({ milliseconds }) => milliseconds).sort((one, other) => one - other)
    t.comment(
      `ADD: p50 ${times[times.length >> 1]?.toFixed(0)} ms, ` +
        `p99 ${times[Math.floor(times.length * 0.99)]?.toFixed(0)} ms, ${podsAtOnce} at once`,
    )
  } finally {
    await race.close()
  }
})

test('P44: addresses that are used again carry no verdict over', async (t) => {
  // a pool so small that each address is used again at once
  const node = new AgentNode(['10.244.9.0/29'])
  const [servers, clients] = [new Prober(), new Prober()]
  const open: Netns[] = []
  const pod = (): Netns => {
    const netns = makeNetns('pod')
    open.push(netns)
    return netns
  }
  try {
    node.write('policies.yaml', [
      namespace('race'),
      np('race/server', {
        podSelector: { matchLabels: { app: 'server' } },
        ingress: [{ from: [{ podSelector: { matchLabels: { app: 'friend' } } }] }],
      }),
    ])
    node.write('server.yaml', [podObject({ key: 'race/server', labels: { app: 'server' } })])
    await node.start()
    const server = await node.addPod('race/server', pod())
    const [address = ''] = server.addresses
    servers.addPod('race/server', server.netns)
    servers.listen('race/server', 'TCP', port)
    servers.listen('race/server', 'UDP', port)
    await servers.sync()
    const seen = new Set<string>()
    const wrong: string[] = []
    for (let round = 0; round < 24; round++) {
      const label = round % 2 === 0 ? 'friend' : 'stranger'
      const key = `race/${label}-${round}`
      node.write('client.yaml', [podObject({ key, labels: { app: label } })])
      const client = await node.addPod(key, pod())
      const [own = ''] = client.addresses
      seen.add(own)
      clients.addPod(key, client.netns)
      const probes = (['TCP', 'UDP'] as const).map((protocol) => ({
        ...{ from: key, address, protocol, port },
      }))
      const expected = label === 'friend' ? 'answered' : 'silent'
      const answers = await clients.ask(
        probes,
        () => probes.length,
        label === 'friend' ? 5000 : 100,
      )
      for (const [at, answer] of answers.entries())
        if (answer !== expected) wrong.push(`${key} ${own} ${probes[at]?.protocol}: ${answer}`)
      clients.dropPod(key)
      await clients.sync()
      const ran = await node.removePodLater(client)
      if (ran.code !== 0) throw new Error(`DEL of ${key}: ${ran.stdout}`)
    }
    t.same(wrong, [], 'wrong verdicts')
    t.ok(seen.size < 8, `${seen.size} addresses for 24 pods`)
  } finally {
    servers.close()
    clients.close()
    for (const netns of open) netns.close()
    await node.close()
  }
})
