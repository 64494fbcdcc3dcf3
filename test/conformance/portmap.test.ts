import { mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import {
  addressesOf,
  attach,
  type Extra,
  netconf,
  type PodVerb,
  type Result,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Host, type Pod, uplink, withHost } from '../support/host.ts'
import {
  answerTo,
  defaultRoutes,
  hostPort,
  mapped,
  namesOf,
  serve,
  setBridgeNetfilter,
  type Way,
  ways,
} from '../support/host-ports.ts'
import { referenceDirectory } from '../support/reference.ts'
import { picture } from '../support/residue.ts'
import { asked } from '../support/sockets.ts'
import { executableOf } from '../support/warmth.ts'

// The name `portmap`, behind Debian's bridge: ours, and Debian's own (1.1.1, iptables).

t.setTimeout(240_000)

type Who = 'reference' | 'ours'
const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }

function portmapOf(who: Who, host: Host): string {
  if (who === 'reference') return `${referenceDirectory}/portmap`
  const directory = join(host.directory, 'names')
  if (mkdirSync(directory, { recursive: true }))
    symlinkSync(executableOf(host.netns), join(directory, 'portmap'))
  return join(directory, 'portmap')
}

function must(verb: PodVerb, pod: Pod, conf: Json, extra: Extra): string {
  const ran = attach(verb, pod, conf, { ...extra, env })
  if (ran.code !== 0) throw new Error(`${verb} exited ${ran.code}: ${ran.stdout}${ran.stderr}`)
  return ran.stdout
}

const viaBridge: Extra = { plugin: `${referenceDirectory}/bridge`, path: referenceDirectory }
const bridgeConf = (host: Host): Json =>
  netconf(host, {
    mode: 'bridge',
    families: 'dual',
    version: '1.0.0',
    keys: { ipMasq: true, hairpinMode: true },
    ipam: { routes: defaultRoutes },
  })

class Chain {
  readonly #who: Who
  readonly #host: Host

  constructor(who: Who, host: Host) {
    this.#who = who
    this.#host = host
  }

  conf(keys: Json = {}): Json {
    const { dataDir } = this.#host
    const base = { cniVersion: '1.0.0', name: 'net', type: 'portmap', dataDir }
    return { ...base, runtimeConfig: mapped(), ...keys }
  }

  add(pod: Pod, conf: Json | undefined): Result {
    const prevResult = JSON.parse(must('ADD', pod, bridgeConf(this.#host), viaBridge)) as Result
    if (!conf) return prevResult
    return JSON.parse(this.run('ADD', pod, { ...conf, prevResult })) as Result
  }

  run(verb: PodVerb, pod: Pod, conf: Json): string {
    return must(verb, pod, conf, { plugin: portmapOf(this.#who, this.#host) })
  }

  delete(pod: Pod, conf: Json | undefined): void {
    if (conf) this.run('DEL', pod, conf)
    must('DEL', pod, bridgeConf(this.#host), viaBridge)
  }
}

type Row = Readonly<{ way: Way; keys: Json; bridgeNetfilter: '0' | '1' }>
type Wanted = Readonly<{ why: string; is: (row: Row, reference: string, ours: string) => boolean }>

/** Every way in which we want to differ from the reference; anything else is a fault. */
const wanted: readonly Wanted[] = [
  {
    why: '[::1] leads to the pod, where br_netfilter keeps its hands off',
    is: ({ way, bridgeNetfilter }, reference, ours) =>
      way.to === '::1' &&
      bridgeNetfilter === '0' &&
      reference === 'nobody' &&
      ours === 'gateway → pod',
  },
  {
    why: 'with br_netfilter answers find back without masquerade: the pod sees who asks',
    is: ({ way, bridgeNetfilter }, reference, ours) =>
      way.from === 'other' &&
      bridgeNetfilter === '1' &&
      reference === 'gateway → pod' &&
      ours === 'other → pod',
  },
  {
    why: 'masqAll, which Debian’s 1.1.1 does not know',
    is: ({ way, keys }, reference, ours) =>
      keys.masqAll === true &&
      ['outside', 'host'].includes(way.from) &&
      ['outside → pod', 'node → pod'].includes(reference) &&
      ours === 'gateway → pod',
  },
]
const met = new Set<Wanted>()

/** Those that nobody answers take their time. */
const cases: readonly (readonly [keys: Json, bridgeNetfilter: '0' | '1'])[] = [
  [{}, '0'],
  [{}, '1'],
  [{ snat: false }, '1'],
  [{ masqAll: true }, '0'],
]

/** Debian's bridge has its IPv6 address checked for duplicates; nothing is sent from it before. */
async function detected({ netns }: Host): Promise<void> {
  const tentative = ['ip', '-6', 'addr', 'show', 'dev', 'cni0', 'tentative']
  for (let tries = 0; tries < 50 && netns.exec(tentative).stdout !== ''; tries++) await sleep(100)
}

async function answersOf(
  who: Who,
  keys: Json,
  bridgeNetfilter: '0' | '1',
): Promise<readonly string[]> {
  let answers: readonly string[] = []
  await withHost(async (host) => {
    host.netns.exec(['/bin/sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'])
    setBridgeNetfilter(host.netns, bridgeNetfilter)
    const chain = new Chain(who, host)
    const [pod, other] = [host.pod(), host.pod()]
    const own = addressesOf(chain.add(pod, chain.conf(keys)))
    const others = addressesOf(chain.add(other, undefined))
    await detected(host)
    const close = await serve(pod.netns, 'pod')
    answers = ways.map((way) => answerTo(way, { pod, other, addresses: namesOf(own, others) }))
    close()
    chain.delete(pod, chain.conf(keys))
    chain.delete(other, undefined)
  })
  return answers
}

async function expectSame(t: Test, keys: Json, bridgeNetfilter: '0' | '1'): Promise<void> {
  const reference = await answersOf('reference', keys, bridgeNetfilter)
  const ours = await answersOf('ours', keys, bridgeNetfilter)
  for (const [at, way] of ways.entries()) {
    const [theirs = '', mine = ''] = [reference[at], ours[at]]
    const entry = wanted.find((one) => one.is({ way, keys, bridgeNetfilter }, theirs, mine))
    if (entry) met.add(entry)
    const name = `${way.protocol} ${way.from} ${way.to}: ${theirs}`
    t.ok(entry || theirs === mine, `${name}${theirs === mine ? '' : `, ours ${mine}`}`)
  }
}

for (const [keys, bridgeNetfilter] of cases)
  t.test(`as Debian's: ${JSON.stringify(keys)}, br_netfilter ${bridgeNetfilter}`, (t) =>
    expectSame(t, keys, bridgeNetfilter),
  )

t.test('every listed difference is still one', async (t) => {
  t.same(
    wanted.filter((one) => !met.has(one)).map(({ why }) => why),
    [],
  )
})

t.test('portmap keeps what bridge made, and takes back what it gave', (t) =>
  withHost(async (host) => {
    const chain = new Chain('ours', host)
    const pod = host.pod()
    const prevResult = chain.add(pod, undefined)
    const before = picture(host.netns)
    const conf = { ...chain.conf(), prevResult }
    t.strictSame(JSON.parse(chain.run('ADD', pod, conf)), prevResult, 'the result is handed on')
    const close = await serve(pod.netns, 'pod')
    const target = { protocol: 'tcp', address: uplink.node.v4, port: hostPort } as const
    t.match(asked(host.outside, target), / pod$/)
    t.equal(chain.run('CHECK', pod, conf), '')
    chain.run('ADD', pod, conf)
    t.match(asked(host.outside, target), / pod$/, 'once more without DEL changes nothing')
    const { runtimeConfig: _, ...bare } = chain.conf()
    chain.run('DEL', pod, bare)
    chain.run('DEL', pod, bare)
    close()
    t.same(picture(host.netns), before)
    t.equal(
      host.netns.exec(['cat', '/proc/sys/net/ipv4/conf/cni0/route_localnet']).stdout.trim(),
      '0',
    )
    t.equal(host.netns.ip('-6', 'route', 'show', 'table', 'local', 'proto', '116'), '')
    chain.delete(pod, undefined)
  }),
)
