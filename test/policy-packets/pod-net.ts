import { makeNetns, type Netns, run } from '../support/netns.ts'
import { type Answer, type Probe, Prober } from '../support/prober.ts'
import { batch } from '../support/underlay.ts'
import { Tally } from './tally.ts'

export type WiredPod = Readonly<{
  /** "namespace/name" */
  key: string
  netns: Netns
  addresses: readonly string[]
  /** Of its link on the node, p0, p1 …. */
  number: number
}>

const nodeMac = '02:00:5e:00:53:fe'
const gateways = { 4: '169.254.1.1', 6: 'fe80::1' } as const
const familyOf = (address: string): 4 | 6 => (address.includes(':') ? 6 : 4)

/**
 * A throw-away node that forwards, and pods behind a veth each: routed as Tulle's, made by `ip` at
 * once, because here many are wanted and what is tried is what the node drops.
 */
export class PodNet {
  readonly node: Netns
  readonly prober: Prober
  readonly #tally: Tally
  readonly #pods = new Map<string, WiredPod>()

  constructor() {
    this.node = makeNetns('node')
    this.prober = new Prober()
    try {
      const forward = ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']
      // a sum that is wrong shall be seen as such; errors shall not run out
      const done = this.node.exec(['sysctl', '-qw', ...forward, 'net.ipv4.icmp_ratelimit=0'])
      if (done.code !== 0) throw new Error(`Cannot forward: ${done.stderr}`)
      this.#tally = new Tally(this.node)
    } catch (refusal) {
      this.close()
      throw refusal
    }
  }

  get pods(): ReadonlyMap<string, WiredPod> {
    return this.#pods
  }

  /** @param ports on which TCP and UDP are answered; SCTP is on any */
  addPod(key: string, addresses: readonly string[], ports: readonly number[]): WiredPod {
    const netns = makeNetns('pod')
    const pod = { key, netns, addresses, number: this.#pods.size }
    this.#pods.set(key, pod)
    if (addresses.length > 0) this.wire(pod, addresses)
    this.prober.addPod(key, netns)
    for (const protocol of ['TCP', 'UDP'] as const)
      for (const port of ports) this.prober.listen(key, protocol, port)
    return pod
  }

  wire({ netns, number }: WiredPod, addresses: readonly string[]): void {
    const link = `p${number}`
    const mac = `02:00:5e:01:${hex(number >> 8)}:${hex(number & 255)}`
    batch(this.node, [
      `link add ${link} address ${nodeMac} type veth ` +
        `peer name eth0 address ${mac} netns ${netns.name}`,
      `link set ${link} addrgenmode none up`,
      ...addresses.flatMap((address) => [
        `route add ${address} dev ${link}`,
        `neigh add ${address} lladdr ${mac} dev ${link}`,
      ]),
    ])
    const families = [...new Set(addresses.map(familyOf))]
    batch(netns, [
      'link set eth0 addrgenmode none up',
      ...addresses.map(
        (address) => `addr add ${address} dev eth0${familyOf(address) === 6 ? ' nodad' : ''}`,
      ),
      ...families.flatMap((family) => [
        `neigh add ${gateways[family]} lladdr ${nodeMac} dev eth0`,
        `route add default via ${gateways[family]} dev eth0 onlink`,
      ]),
    ])
  }

  address(key: string, family: 4 | 6): string {
    const found = this.#pods.get(key)?.addresses.find((address) => familyOf(address) === family)
    if (found === undefined) throw new Error(`Cannot find an IPv${family} address of ${key}`)
    return found
  }

  /**
   * Asks all at once. Each packet is known to have come to the node, and as many answers are waited
   * for as packets left it again: what is silent was dropped by the node and is not merely late.
   */
  async ask(probes: readonly Probe[], triesMax = 3): Promise<readonly Answer[]> {
    const began = performance.now()
    const before = this.#tally.read()
    let passed = 0
    const answers = await this.prober.ask(probes, () => {
      const after = this.#tally.until((now) => now.entered - before.entered >= probes.length)
      passed = after.passed - before.passed
      return passed
    })
    const answered = answers.filter((answer) => answer === 'answered').length
    if (answered === passed) return answers
    // A machine that is busy for a second sends each first packet of TCP twice.
    if (triesMax > 1 && performance.now() - began > 900) return this.ask(probes, triesMax - 1)
    const odd = probes.find((_, at) => !['answered', 'silent'].includes(answers[at] ?? ''))
    throw new Error(
      `${passed} passed and ${answered} were answered; ${JSON.stringify(odd ?? 'late')}`,
    )
  }

  close(): void {
    this.prober.close()
    for (const { netns } of this.#pods.values()) netns.close()
    this.node.close()
  }
}

const hex = (octet: number): string => octet.toString(16).padStart(2, '0')

/** Lends a node and removes it, whatever happens. */
export async function withPodNet<T>(use: (net: PodNet) => Promise<T>): Promise<T> {
  const net = new PodNet()
  try {
    return await use(net)
  } finally {
    net.close()
  }
}

/** Tables of the node as nft lists them, where a test fails. */
export const listed = (net: PodNet): string =>
  run(['nsenter', `--net=${net.node.path}`, '/usr/sbin/nft', 'list', 'ruleset']).stdout
