// What others take from the host's side of pods comes back from the record. Runs the packaged
// executable as agent and as plugin; nft and ip are asked what there is.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { test } from 'tap'
import { call, type Json } from '../support/cni.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { RunningAgent, until, writeNodes } from './running-agent.ts'

const node = { name: 'a', address: '192.0.2.1', podCIDRs: ['10.244.1.0/24', 'fd10:1::/64'] }

type Place = {
  readonly netns: Netns
  readonly agent: RunningAgent
  readonly pods: readonly Netns[]
  readonly ask: (verb: 'ADD' | 'DEL', pod: Netns) => Json
}

async function withPods(use: (place: Place) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tt-pods-'))
  const netns = makeNetns('node')
  const pods = [makeNetns('pod'), makeNetns('pod')]
  writeNodes(join(folder, 'nodes.yaml'), [node])
  mkdirSync(join(folder, 'bin'))
  const dataDir = join(folder, 'data')
  const words = ['--nodes-file', join(folder, 'nodes.yaml'), '--data-dir', dataDir]
  const agent = new RunningAgent(netns, node.name, words)
  const conf = {
    cniVersion: '1.1.0',
    name: 'tulle',
    type: 'tulle',
    ipMasq: true,
    capabilities: { portMappings: true },
    runtimeConfig: {},
    dataDir,
    ipam: { type: 'host-local', ranges: node.podCIDRs.map((subnet) => [{ subnet }]) },
  }
  const ask = (verb: 'ADD' | 'DEL', pod: Netns): Json => {
    const portMappings = [
      { hostPort: 8000 + pods.indexOf(pod), containerPort: 80, protocol: 'tcp' },
    ]
    const ran = call({
      verb,
      conf: { ...conf, runtimeConfig: { portMappings } },
      node: netns,
      container: pod.name,
      netns: pod.path,
      ifname: 'eth0',
      path: '/opt/cni/bin',
    })
    if (ran.code !== 0) throw new Error(ran.stdout)
    return ran.stdout === '' ? {} : (JSON.parse(ran.stdout) as Json)
  }
  try {
    netns.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'wire')
    for (const name of ['eth0', 'wire']) netns.ip('link', 'set', name, 'up')
    netns.ip('addr', 'add', `${node.address}/24`, 'dev', 'eth0')
    for (const pod of pods) ask('ADD', pod)
    await agent.start().ready()
    await until('the pods to be looked at', () => agent.status().then(hasLooked))
    await use({ netns, agent, pods, ask })
  } finally {
    await agent.close()
    for (const one of [...pods, netns]) one.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

const hasLooked = ({ loops }: { loops: readonly { name: string; runs: number }[] }): boolean =>
  (loops.find(({ name }) => name === 'pods')?.runs ?? 0) > 0

/** Everything of the host's side, in the kernel's own order or sorted. */
function pictureOf(netns: Netns): string {
  const lines = (...words: readonly string[]): string =>
    netns.exec(words).stdout.split('\n').toSorted().join('\n')
  return [
    lines('ip', 'route', 'show', 'proto', '116'),
    lines('ip', '-6', 'route', 'show', 'proto', '116'),
    lines('ip', 'neigh', 'show', 'nud', 'permanent'),
    lines('ip', '-br', 'addr', 'show', 'type', 'veth', 'up'),
    lines('nft', '-s', 'list', 'ruleset').replace(/@\w+ timeout.*\n/g, ''),
  ].join('\n--\n')
}

const hostEnd = (netns: Netns): string =>
  netns
    .ipJson('link', 'show', 'type', 'veth')
    .map(({ ifname }) => String(ifname))
    .find((name) => name.startsWith('tul')) ?? ''

type Damage = { readonly why: string; readonly words: (netns: Netns) => readonly string[] }

const damages: readonly Damage[] = [
  { why: 'routes to pods', words: () => ['ip', 'route', 'flush', 'proto', '116'] },
  { why: 'IPv6 routes to pods', words: () => ['ip', '-6', 'route', 'flush', 'proto', '116'] },
  {
    why: 'neighbours of a pod',
    words: (netns) => ['ip', 'neigh', 'flush', 'dev', hostEnd(netns), 'nud', 'permanent'],
  },
  {
    why: 'the gateway address of a host end',
    words: (netns) => ['ip', 'addr', 'flush', 'dev', hostEnd(netns), 'scope', 'global'],
  },
  { why: 'a host end that is up', words: (netns) => ['ip', 'link', 'set', hostEnd(netns), 'down'] },
  { why: 'all of nftables', words: () => ['nft', 'flush', 'ruleset'] },
  { why: 'the rules of our table', words: () => ['nft', 'flush', 'table', 'inet', 'tulle'] },
  { why: 'one chain', words: () => ['nft', 'flush', 'chain', 'inet', 'tulle', 'postrouting'] },
  { why: 'a set of the guard', words: () => ['nft', 'flush', 'map', 'inet', 'tulle', 'guarded'] },
  {
    why: 'the pods that are masqueraded',
    words: () => ['nft', 'flush', 'map', 'inet', 'tulle', 'masquerade4'],
  },
]

for (const { why, words } of damages)
  test(`taken away and back: ${why}`, (t) =>
    withPods(async ({ netns, agent }) => {
      const before = pictureOf(netns)
      const { repairs } = (await agent.status()).drift
      const argv = words(netns)
      const done = netns.exec(argv)
      t.equal(done.code, 0, `${argv.join(' ')} ${done.stderr}`)
      // What is gone is often back before it could be listed: the agent's own count tells of it.
      const repaired = async (): Promise<boolean> => (await agent.status()).drift.repairs > repairs
      await until(`${why}, repaired`, repaired)
      await until(`${why}, as before`, () => pictureOf(netns) === before).catch(() => undefined)
      t.equal(pictureOf(netns), before)
    }))

test('a pod that came while the agent ran is healed as soon', (t) =>
  withPods(async ({ netns, agent, pods, ask }) => {
    const [first] = pods
    if (!first) throw new Error('no pod')
    for (const pod of pods) ask('DEL', pod)
    await until('no pod to be looked at', async () => (await agent.status()).leases.used === 0)
    const looks = async (): Promise<number> =>
      (await agent.status()).loops.find(({ name }) => name === 'pods')?.runs ?? 0
    const earlier = await looks()
    for (const pod of pods) ask('ADD', pod)
    await until('the new pods to be looked at', async () => (await looks()) > earlier)
    // Its runs are 300 ms apart: the last of them has seen the last of the pods.
    await pause(700)
    const before = pictureOf(netns)
    netns.ip('route', 'flush', 'proto', '116')
    await until('routes, as before', () => pictureOf(netns) === before)
    t.equal(pictureOf(netns), before)
  }))

test('pods that come and go are no drift, and what a DEL takes stays away', (t) =>
  withPods(async ({ netns, agent, pods, ask }) => {
    const [first] = pods
    if (!first) throw new Error('no pod')
    for (let round = 0; round < 5; round++) {
      ask('DEL', first)
      ask('ADD', first)
    }
    for (const pod of pods) ask('DEL', pod)
    const runsOf = async (): Promise<number> =>
      (await agent.status()).loops.find(({ name }) => name === 'pods')?.runs ?? 0
    const runs = await runsOf()
    const odd = ['route', 'add', '10.9.9.9/32', 'dev', 'eth0', 'proto', '116'] as const
    netns.ip(...odd)
    netns.ip('route', 'del', '10.9.9.9/32')
    await until('another look at the pods', async () => (await runsOf()) > runs)
    t.equal(netns.ip('route', 'show', 'proto', '116'), '')
    t.notMatch(netns.exec(['nft', 'list', 'ruleset']).stdout, pods[0]?.name ?? 'pod')
    t.same((await agent.status()).drift.byKind, {})
    t.same((await agent.status()).lastErrors, [])
  }))
