import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { ask, attach, type PodVerb, type Result } from '../test/support/attachment.ts'
import { executable, type Json } from '../test/support/cni.ts'
import { type Host, makeHost, type Pod, uplink } from '../test/support/host.ts'
import { type Netns, type Ran, run } from '../test/support/netns.ts'
import { watchResidue } from '../test/support/residue.ts'
import { demonstrateCluster, isSoundCluster } from './demo-cluster.ts'
import { forPeople, type Ping, type ShownCall, type ShownNetwork, silent } from './demo-show.ts'

const { values: options } = parseArgs({ options: { json: { type: 'boolean' } } })
const show = options.json ? silent : forPeople
const examples = ['conf/10-tulle.conflist', 'conf/10-tulle-bridge.conflist'] as const

/** A verb that was refused: what was shown of it says why. */
class CallFailed extends Error {}

async function main(): Promise<void> {
  // Ctrl-C ends the program that is being waited for; the namespaces must go away all the same.
  process.on('SIGINT', () => {})
  show.title(run([executable, '--version']).stdout.trim())
  const networks = examples.map(demonstrate)
  show.clusterBegins()
  const cluster = await demonstrateCluster(show.tell)
  show.cluster(cluster)
  const ok = networks.every(isSound) && isSoundCluster(cluster)
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ ok, networks, cluster }, undefined, 2)}\n`)
  } else {
    show.verdict(networks, cluster, ok)
  }
  process.exitCode = ok ? 0 : 1
}

const isSound = ({ failed, calls, pings, left }: ShownNetwork): boolean =>
  failed === undefined &&
  calls.every(({ code }) => code === 0) &&
  pings.length > 0 &&
  pings.every(({ ms }) => ms !== undefined) &&
  left.length === 0

/** One example configuration from the first call to a node that is as it was before. */
function demonstrate(file: string): ShownNetwork {
  const host = makeHost()
  const calls: ShownCall[] = []
  const pings: Ping[] = []
  let left: readonly string[] = []
  let failed: string | undefined
  try {
    show.network(file, host.netns.name)
    const pods = { web: host.pod(), client: host.pod() }
    const leftOf = watchResidue(host, [pods.web.netns, pods.client.netns])
    const caller = new Caller(host, confOf(file, host), (shown) => {
      calls.push(shown)
      show.call(shown)
    })
    pings.push(...attachAndPing(caller, host, pods))
    detach(caller, pods)
    left = leftOf()
    show.left(left)
  } catch (fault) {
    if (!(fault instanceof CallFailed)) throw fault
    failed = fault.message
  } finally {
    host.close()
  }
  return { file, calls, pings, left, ...(failed === undefined ? {} : { failed }) }
}

type Pods = Readonly<{ web: Pod; client: Pod }>

function attachAndPing(caller: Caller, host: Host, pods: Pods): readonly Ping[] {
  caller.ask('VERSION')
  caller.ask('STATUS')
  const web = caller.attach('ADD', 'web', pods.web)
  const client = caller.attach('ADD', 'client', pods.client)
  caller.attach('CHECK', 'web', pods.web, { prevResult: web })
  caller.attach('CHECK', 'client', pods.client, { prevResult: client })
  const place = {
    web: { name: 'pod web', netns: pods.web.netns, ...addressesOf(web) },
    client: { name: 'pod client', netns: pods.client.netns, ...addressesOf(client) },
    host: { name: 'host', netns: host.netns, ...uplink.node },
    outside: { name: 'outside (masqueraded)', netns: host.outside, ...uplink.outside },
  }
  requireNoWayBack(place.outside.netns, place.client)
  const pings = [
    [place.client, place.web],
    [place.web, place.client],
    [place.client, place.host],
    [place.host, place.web],
    [place.client, place.outside],
  ].flatMap(([from, to]) => (from && to ? bothFamilies(from, to) : []))
  show.pings(pings)
  return pings
}

/** A runtime's DEL, a second DEL as kubelet sends it, and GC for a pod whose DEL never came. */
function detach(caller: Caller, pods: Pods): void {
  caller.attach('DEL', 'client', pods.client)
  caller.attach('DEL', 'client', pods.client)
  caller.ask('GC', { 'cni.dev/valid-attachments': [] })
}

/** Makes CNI calls as a runtime does and hands each to `shown`, with the time it took. */
class Caller {
  readonly #host: Host
  readonly #conf: Json
  readonly #shown: (call: ShownCall) => void

  constructor(host: Host, conf: Json, shown: (call: ShownCall) => void) {
    this.#host = host
    this.#conf = conf
    this.#shown = shown
  }

  attach(verb: PodVerb, container: string, pod: Pod, keys: Json = {}): Json {
    const { ifname, netns } = pod
    const words = { CNI_CONTAINERID: container, CNI_IFNAME: ifname, CNI_NETNS: netns.path }
    return this.#call(verb, words, (conf) => attach(verb, pod, conf, { container }), keys)
  }

  ask(verb: 'VERSION' | 'STATUS' | 'GC', keys: Json = {}): Json {
    return this.#call(verb, keys, (conf) => ask(verb, this.#host, conf), keys)
  }

  #call(verb: string, words: Json, make: (conf: Json) => Ran, keys: Json): Json {
    const started = performance.now()
    const ran = make({ ...this.#conf, ...keys })
    const ms = performance.now() - started
    const output = ran.stdout.trim() === '' ? {} : (JSON.parse(ran.stdout) as Json)
    this.#shown({ verb, words, ms, code: ran.code, output, notes: ran.stderr.trim() })
    if (ran.code !== 0) throw new CallFailed(`${verb} ended with exit code ${ran.code}`)
    return output
  }
}

/**
 * The first plugin of an example as libcni hands it over, with its leases in the node's own
 * directory. The examples say 1.0.0 for old runtimes; STATUS and GC came with 1.1.0.
 */
function confOf(file: string, host: Host): Json {
  const list = JSON.parse(readFileSync(file, 'utf8')) as Json & { plugins: readonly Json[] }
  const plugin = list.plugins[0] as Json & { ipam: Json }
  const ipam = { ...plugin.ipam, dataDir: host.dataDir }
  return { ...plugin, cniVersion: '1.1.0', name: list.name, ipam }
}

type Addresses = Readonly<{ v4: string; v6: string }>
type Place = Addresses & Readonly<{ name: string; netns: Netns }>

function addressesOf(result: Json): Addresses {
  const addresses = ((result as Result).ips ?? []).map(({ address }) => address.split('/')[0] ?? '')
  const v4 = addresses.find((address) => address.includes('.')) ?? 'no IPv4 address'
  const v6 = addresses.find((address) => address.includes(':')) ?? 'no IPv6 address'
  return { v4, v6 }
}

/** If outside knew a route to the pods, an answer from there would say nothing of masquerading. */
function requireNoWayBack(outside: Netns, pod: Addresses): void {
  for (const address of [pod.v4, pod.v6]) {
    const route = outside.exec(['ip', 'route', 'get', address])
    if (route.code === 0) throw new Error(`Cannot show masquerading: outside reaches ${address}`)
  }
}

const bothFamilies = (from: Place, to: Place): readonly Ping[] => [
  { from: from.name, to: to.name, family: 'IPv4', ...ping(from.netns, to.v4) },
  { from: from.name, to: to.name, family: 'IPv6', ...ping(from.netns, to.v6) },
]

function ping(from: Netns, address: string): { readonly ms?: number } {
  const { stdout } = from.exec(['ping', '-n', '-c', '1', '-W', '2', address])
  const time = /time=([\d.]+) ms/.exec(stdout)?.[1]
  return time === undefined ? {} : { ms: Number(time) }
}

await main()
