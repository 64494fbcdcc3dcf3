// The conflists that runtimes write, whole: once through Debian's plugins, once through links of
// the same names to the packaged executable. Results, what reaches what by host ports and pings,
// sysctls, shaped links, and what is left.

import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { addressesOf, type Result, rangesOf } from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Host, type Pod, uplink, withHost } from '../support/host.ts'
import {
  answerTo,
  defaultRoutes,
  mapped,
  namesOf,
  serve,
  setBridgeNetfilter,
  ways,
} from '../support/host-ports.ts'
import { asked, type Maker, type Name } from '../support/named.ts'
import { reaches } from '../support/reach.ts'
import { watchResidue } from '../support/residue.ts'

t.setTimeout(240_000)

type Plugin = Readonly<{ name: Name; keys: Json }>
type Writer = Readonly<{
  who: string
  cniVersion: string
  plugins: (host: Host) => readonly Plugin[]
}>

const bridge = (host: Host, keys: Json): Plugin => ({
  name: 'bridge',
  keys: {
    bridge: 'cni0',
    isGateway: true,
    ipMasq: true,
    ipam: {
      type: 'host-local',
      dataDir: host.dataDir,
      ranges: rangesOf('dual'),
      routes: defaultRoutes,
    },
    ...keys,
  },
})
const portmap: Plugin = { name: 'portmap', keys: { runtimeConfig: mapped() } }
const limits = { ingressRate: 8e7, ingressBurst: 8e6, egressRate: 4e7, egressBurst: 4e6 }
const sysctl = { 'net.core.somaxconn': '333' }

const writers: readonly Writer[] = [
  {
    who: 'podman',
    cniVersion: '0.4.0',
    plugins: (host) => [
      bridge(host, { hairpinMode: true }),
      portmap,
      { name: 'firewall', keys: { backend: '' } },
      { name: 'tuning', keys: {} },
    ],
  },
  {
    who: 'containerd',
    cniVersion: '1.0.0',
    plugins: (host) => [bridge(host, { promiscMode: true }), portmap],
  },
  {
    who: 'nerdctl',
    cniVersion: '1.0.0',
    plugins: (host) => [
      bridge(host, { hairpinMode: true }),
      portmap,
      { name: 'firewall', keys: { ingressPolicy: 'open' } },
      { name: 'tuning', keys: {} },
    ],
  },
  {
    who: 'Kubernetes with bandwidth',
    cniVersion: '1.0.0',
    plugins: (host) => [
      bridge(host, { hairpinMode: true }),
      portmap,
      { name: 'bandwidth', keys: { runtimeConfig: { bandwidth: limits } } },
      { name: 'tuning', keys: { sysctl } },
      { name: 'firewall', keys: { backend: 'iptables' } },
    ],
  },
]

type Seen = Readonly<{
  result: Json
  answers: readonly string[]
  pings: readonly string[]
  state: readonly string[]
  left: readonly string[]
}>

/** Names and MACs that each run draws anew, in the order in which they come. */
function normalised(result: Result): Json {
  const macs = new Map<string, string>()
  const names = new Map<string, string>()
  const place = (map: Map<string, string>, word: string, value: string): string => {
    if (!map.has(value)) map.set(value, `${word} ${map.size}`)
    return map.get(value) ?? value
  }
  const { dns: _, ...rest } = result
  return {
    ...rest,
    interfaces: result.interfaces?.map(({ name, mac = '', sandbox }) => ({
      name: ['cni0', 'eth0'].includes(name) ? name : place(names, 'link', name),
      mac: place(macs, 'mac', mac),
      sandbox: sandbox === undefined ? 'host' : 'pod',
    })),
  }
}

class Chain {
  readonly #maker: Maker
  readonly #plugins: readonly Readonly<{ name: Name; conf: Json }>[]

  constructor(maker: Maker, host: Host, { cniVersion, plugins }: Writer, options: Json = {}) {
    this.#maker = maker
    this.#plugins = plugins(host)
      .filter(({ name }) => options.ports !== false || name !== 'portmap')
      .map(({ name, keys }) => {
        const base = { cniVersion, name: 'net', type: name }
        const own = maker === 'ours' && name !== 'bridge' ? { dataDir: host.dataDir } : {}
        return { name, conf: { ...base, ...own, ...keys } }
      })
  }

  add(pod: Pod): Result {
    return this.#plugins.reduce<Result | undefined>((prevResult, { name, conf }) => {
      const input = prevResult ? { ...conf, prevResult } : conf
      return asked('ADD', pod, { maker: this.#maker, name, conf: input })
    }, undefined) as Result
  }

  run(verb: 'CHECK' | 'DEL', pod: Pod, prevResult: Result): void {
    const order = verb === 'DEL' ? this.#plugins.toReversed() : this.#plugins
    for (const { name, conf } of order)
      asked(verb, pod, { maker: this.#maker, name, conf: { ...conf, prevResult } })
  }
}

/** What limits and sysctls there are, in words that both write alike. */
function stateOf({ host, netns }: Pod): readonly string[] {
  const qdiscs = JSON.parse(host.netns.exec(['tc', '-j', 'qdisc', 'show']).stdout) as {
    readonly kind: string
    readonly options: { readonly rate?: number }
  }[]
  const shaped = qdiscs.filter(({ kind }) => kind === 'tbf').map(({ options }) => options.rate)
  const somaxconn = netns.exec(['cat', '/proc/sys/net/core/somaxconn']).stdout.trim()
  return [`tbf ${shaped.toSorted().join(' ')}`, `somaxconn ${somaxconn}`]
}

async function live(maker: Maker, writer: Writer): Promise<Seen> {
  let seen: Seen | undefined
  await withHost(async (host) => {
    // What the kernel has on most nodes: bridged frames pass the IP hooks too.
    setBridgeNetfilter(host.netns, '1')
    const [pod, other] = [host.pod(), host.pod()]
    const left = watchResidue(host, [pod.netns, other.netns])
    const chain = new Chain(maker, host, writer)
    const second = new Chain(maker, host, writer, { ports: false })
    const result = chain.add(pod)
    const others = second.add(other)
    const [own, theirs] = [addressesOf(result), addressesOf(others)]
    // Debian's portmap finds fault with what it has made itself for two families.
    if (maker === 'ours') chain.run('CHECK', pod, result)
    // Its bridge takes a second to be sure of its IPv6 address.
    else await sleep(2000)
    const close = await serve(pod.netns, 'pod')
    const pods = { pod, other, addresses: namesOf(own, theirs) }
    const answers = ways.map(
      (way) => `${way.protocol} ${way.from} ${way.to}: ${answerTo(way, pods)}`,
    )
    const pings = [...own.map((to) => [host.netns, to] as const)]
      .concat(theirs.map((to) => [pod.netns, to] as const))
      .concat([uplink.outside.v4, uplink.outside.v6].map((to) => [pod.netns, to] as const))
      .map(([from, to]) => `${to}: ${reaches(from, to)}`)
    const state = stateOf(pod)
    close()
    chain.run('DEL', pod, result)
    second.run('DEL', other, others)
    seen = { result: normalised(result), answers, pings, state, left: left() }
  })
  if (seen === undefined) throw new Error('Cannot happen: the host was lent')
  return seen
}

const isListed = (reference: string, ours: string): boolean =>
  // With br_netfilter answers find back without masquerade: the pod sees who asks.
  (reference.endsWith('gateway → pod') && ours.endsWith('other → pod')) || reference === ours

async function expectSame(t: Test, writer: Writer): Promise<void> {
  const reference = await live('reference', writer)
  const ours = await live('ours', writer)
  t.same(ours.result, reference.result, 'the result, field by field')
  t.same(
    ours.answers.filter((answer, at) => !isListed(reference.answers[at] ?? '', answer)),
    [],
    'the same answers by host ports',
  )
  t.ok(ours.answers.filter((answer) => answer.endsWith('→ pod')).length >= 12, 'and there are some')
  t.same(ours.pings, reference.pings, 'the same pings')
  t.notMatch(ours.pings.join(), 'false', 'all of them answered')
  t.same(ours.state, reference.state, 'limits and sysctls')
  t.same(ours.left, [], 'after DEL nothing is left of ours')
}

for (const writer of writers) t.test(writer.who, (t) => expectSame(t, writer))
