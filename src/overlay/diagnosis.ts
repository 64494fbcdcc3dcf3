import type { Family } from '../base/address.ts'
import type { Path } from './probe.ts'

// What the self-test's answers mean, and what people can do about it.

export type Trial = { readonly sent: number; readonly answered: number }

/** How one way to a peer fared. Sizes are those of whole IP packets. */
export type PathResult = {
  readonly path: Path
  readonly small: Trial
  readonly full: Trial
  /** What `full` was. */
  readonly mtuBytes: number
  /** The quickest answer. */
  readonly rttMs?: number
  /** The largest packet that was answered, looked for where `full` was not and `small` was. */
  readonly largestBytes?: number
  /**
   * Where one size is not answered: whether it arrives over there, and whether one from there
   * arrives here. Undefined: nobody could say.
   */
  readonly outward?: boolean
  readonly inward?: boolean
}

/** The way of pods' packets: which kind it is, and the family of the node addresses under it. */
export type PodsResult = PathResult & {
  readonly mode: 'direct' | 'vxlan'
  readonly over: Family
}

export type PeerResult = {
  readonly peer: string
  readonly node: readonly PathResult[]
  readonly pods: readonly PodsResult[]
  /** Datagrams dropped for a wrong checksum while the test ran, by the peer's kernel or ours. */
  readonly checksumErrors: number
}

export type TunnelNumbers = {
  readonly vni: number
  readonly port: number
  readonly probePort: number
}

export type Diagnosis = {
  readonly check: Check
  readonly severity: 'warning' | 'error'
  readonly found: string
  readonly meaning: string
  readonly remedy: string
}

export type Check =
  | 'node-unreachable'
  | 'tunnel-blocked'
  | 'pod-addresses-dropped'
  | 'one-way'
  | 'checksum-broken'
  | 'mtu-black-hole'
  | 'tunnel-fragmented'
  | 'lossy'
  | 'probe-blocked'

/** Everything that is wrong on the ways to one peer, the worst first; nothing if all is well. */
export function diagnose(result: PeerResult, numbers: TunnelNumbers): readonly Diagnosis[] {
  if (isSilent(result)) return [nodeUnreachable(result, numbers)]
  const found = result.pods.flatMap((pods) => {
    const node = result.node.find(({ path }) => path === `node-${pods.over}`)
    return diagnosePods({ result, pods, node, numbers }) ?? []
  })
  const bare = result.pods.length === 0 ? result.node.flatMap((one) => lossOf(result, one)) : []
  const all = [...found, ...bare]
  // Both families of pods go through one tunnel: what is wrong with it is said once.
  return all
    .filter(({ check }, at) => all.findIndex((other) => other.check === check) === at)
    .toSorted((left, right) => rank(left) - rank(right))
}

const rank = ({ severity }: Diagnosis): number => (severity === 'error' ? 0 : 1)
const passes = ({ answered }: Trial): boolean => answered > 0

/** Nothing came back on any way. */
const isSilent = ({ node, pods }: PeerResult): boolean =>
  [...node, ...pods].every(({ small, full }) => !passes(small) && !passes(full)) &&
  node.length + pods.length > 0

type Situation = {
  readonly result: PeerResult
  readonly pods: PodsResult
  /** The same underlay without the tunnel; undefined if the peer has no such address. */
  readonly node: PathResult | undefined
  readonly numbers: TunnelNumbers
}

function diagnosePods(situation: Situation): readonly Diagnosis[] | undefined {
  const { result, pods, node } = situation
  if (!passes(pods.small)) {
    if (!node || !passes(node.small)) return [familyUnreachable(situation)]
    if (result.checksumErrors > 0) return [checksumBroken(situation)]
    if (isOneWay(pods)) return [oneWay(situation)]
    return [pods.mode === 'vxlan' ? tunnelBlocked(situation) : podAddressesDropped(situation)]
  }
  if (!passes(pods.full)) return [blackHole(situation)]
  if (node && !passes(node.small)) return [probeBlocked(situation), ...lossOf(result, pods)]
  if (node && !passes(node.full) && pods.mode === 'vxlan') return [fragmented(situation, node)]
  return lossOf(result, pods)
}

const isOneWay = ({ outward, inward }: PathResult): boolean =>
  (outward ?? false) !== (inward ?? false)

/** "through the tunnel" or "by plain routes". */
const wayOf = ({ mode }: PodsResult): string =>
  mode === 'vxlan' ? 'through the tunnel' : 'by the plain route'

function nodeUnreachable({ peer, pods }: PeerResult, numbers: TunnelNumbers): Diagnosis {
  const ways = pods.length > 0 ? `, nor ${pods.map(wayOf)[0]}` : ''
  return {
    check: 'node-unreachable',
    severity: 'error',
    found: `${peer} answers nothing: neither on its node address${ways}`,
    meaning:
      `the node is down, nothing passes between us, no agent runs on it, or a firewall drops UDP ` +
      `${numbers.probePort} there`,
    remedy:
      `see whether the node is up and "ping" reaches it; if so, look at its agent, and let UDP ` +
      `${numbers.probePort} and ${numbers.port} pass between the nodes`,
  }
}

const familyUnreachable = ({ result, pods, numbers }: Situation): Diagnosis => ({
  check: 'node-unreachable',
  severity: 'error',
  found: `${result.peer} answers nothing over IPv${pods.over}, which carries its ${pods.path}`,
  meaning: `nothing of IPv${pods.over} passes between us, or its address is an old one`,
  remedy:
    `see whether "ping" reaches its IPv${pods.over} address; compare it with the Node's ` +
    `InternalIP; let UDP ${numbers.probePort} and ${numbers.port} pass`,
})

function tunnelBlocked({ result, pods, numbers }: Situation): Diagnosis {
  const clash =
    numbers.port === 4789
      ? '; NSX, Open vSwitch and Calico use 4789 themselves: another port avoids them'
      : '; on VMware NSX, which takes tunnels of its own on this port, choose another'
  return {
    check: 'tunnel-blocked',
    severity: 'error',
    found: `${result.peer} answers on its node address, but not through the tunnel (${pods.path})`,
    meaning: `something between the nodes eats UDP ${numbers.port} (VXLAN, VNI ${numbers.vni})`,
    remedy:
      `let UDP ${numbers.port} pass between all nodes, both ways: host firewalls, security ` +
      `groups, routers${clash} (the overlay's "port", the same on every node)`,
  }
}

const podAddressesDropped = ({ result, pods }: Situation): Diagnosis => ({
  check: 'pod-addresses-dropped',
  severity: 'error',
  found: `${result.peer} answers on its node address, but not from pods' addresses (${pods.path})`,
  meaning: "the underlay drops packets whose addresses are not the nodes' own",
  remedy:
    "switch off the cloud's source/destination check or port security, or add the podCIDRs to " +
    'it; or take the mode "vxlan" for this node',
})

function oneWay({ result, pods, numbers }: Situation): Diagnosis {
  const [arrives, lost] = pods.outward
    ? [`ours reach ${result.peer}`, `its own do not reach us`]
    : [`those of ${result.peer} reach us`, 'ours do not reach it']
  return {
    check: 'one-way',
    severity: 'error',
    found: `packets of pods (${pods.path}) go one way: ${arrives}, ${lost}`,
    meaning: 'a firewall, a wrong route or reverse path filtering drops one direction',
    remedy:
      `${pods.mode === 'vxlan' ? `let UDP ${numbers.port} pass` : "let pods' addresses pass"} in ` +
      'that direction too; look at rp_filter and at the routes of the node that gets nothing',
  }
}

const checksumBroken = ({ result, pods }: Situation): Diagnosis => ({
  check: 'checksum-broken',
  severity: 'error',
  found:
    `${result.peer} does not answer ${wayOf(pods)}, and ${result.checksumErrors} datagrams were ` +
    'dropped for a wrong checksum meanwhile',
  meaning: 'a network card or hypervisor miscalculates checksums of packets in the tunnel',
  remedy:
    'switch the offload off, "ethtool -K <tunnel> tx-checksum-ip-generic off", or that of the ' +
    'uplink, and update the driver',
})

function blackHole({ result, pods, node }: Situation): Diagnosis {
  const largest = pods.largestBytes
  const largestText = largest === undefined ? '' : `; the largest that passes has ${largest}`
  const carries = node && !passes(node.full) ? node.largestBytes : undefined
  const carriesText = carries === undefined ? '' : ` (${carries} bytes)`
  const side = isOneWay(pods) ? ` ${pods.outward ? 'from' : 'to'} ${result.peer}` : ''
  return {
    check: 'mtu-black-hole',
    severity: 'error',
    found:
      `packets of ${pods.mtuBytes} bytes ${wayOf(pods)} are lost${side}, small ones pass` +
      largestText,
    meaning:
      `the network between the nodes carries less${carriesText} than this node's MTU says, ` +
      'and no router says so',
    remedy:
      largest === undefined
        ? 'lower the MTU of the uplinks, or set the MTU of the overlay'
        : `set the overlay's MTU to ${largest} or less, or let the network carry larger packets`,
  }
}

const fragmented = ({ result, pods, numbers }: Situation, node: PathResult): Diagnosis => ({
  check: 'tunnel-fragmented',
  severity: 'warning',
  found:
    `packets of ${node.mtuBytes} bytes do not reach ${result.peer}` +
    `${node.largestBytes === undefined ? '' : `, those of ${node.largestBytes} do`}; ` +
    "the tunnel's pass only in pieces",
  meaning:
    'a router on the way has a smaller MTU: it cuts every large packet in two, which is slow',
  remedy:
    node.largestBytes === undefined
      ? "lower the overlay's MTU"
      : `set the overlay's MTU to ${node.largestBytes - (node.mtuBytes - pods.mtuBytes)} or ` +
        `less, or raise the router's (VXLAN on UDP ${numbers.port})`,
})

const probeBlocked = ({ result, numbers }: Situation): Diagnosis => ({
  check: 'probe-blocked',
  severity: 'warning',
  found: `${result.peer} answers pods' packets, but none on its node address`,
  meaning: `pods reach each other; a firewall drops UDP ${numbers.probePort}, the self-test's port`,
  remedy: `let UDP ${numbers.probePort} pass between nodes, so that the test can tell more`,
})

/** One lost datagram is chance. */
const lostMin = 2
const lossPercentMin = 5

function lossOf({ peer }: PeerResult, path: PathResult): readonly Diagnosis[] {
  const percent = lossPercent([path])
  const lost = [path.small, path.full].reduce((sum, one) => sum + one.sent - one.answered, 0)
  if (lost < lostMin || percent < lossPercentMin || !passes(path.small)) return []
  return [
    {
      check: 'lossy',
      severity: 'warning',
      found: `${lost} of ${path.small.sent + path.full.sent} packets to ${peer} were lost`,
      meaning: `the way (${path.path}) loses packets: everything over it is slow`,
      remedy: 'look at errors and drops of the links ("ip -s link") and at the load of both nodes',
    },
  ]
}

/** 0 … 100, of everything sent. */
export function lossPercent(results: readonly PathResult[]): number {
  const trials = results.flatMap(({ small, full }) => [small, full])
  const sent = trials.reduce((sum, trial) => sum + trial.sent, 0)
  const answered = trials.reduce((sum, trial) => sum + trial.answered, 0)
  return sent === 0 ? 0 : Math.round((100 * (sent - answered)) / sent)
}
