import type { Netns } from '../../support/netns.ts'

// What the policies of one pod look like where iptables enforces them, in the shape that Calico and
// kube-router give them: a chain a policy, an ipset of its peers, and in the pod's chain a jump to
// each. Rules are written anew from that description; neither program runs here.

export type IptablesPolicy = Readonly<{ number: number; peers: readonly string[] }>

export type Served = Readonly<{
  /** The pod's address and its link on the node. */
  address: string
  link: string
  port: number
}>

export type Shape = Readonly<{
  name: 'calico' | 'kube-router'
  /** Sets of one policy, as `ipset restore` reads them. */
  sets: (policy: IptablesPolicy, pod: Served) => readonly string[]
  /** Chains of one policy, and the rules in them. */
  chains: (policy: IptablesPolicy) => readonly string[]
  rules: (policy: IptablesPolicy, pod: Served) => readonly string[]
  /** In the pod's chain, for each policy. */
  jumps: (policy: IptablesPolicy, pod: Served) => readonly string[]
  podChain: string
  head: (pod: Served) => readonly string[]
  tail: (pod: Served) => readonly string[]
}>

const passed = '0x10000/0x10000'
const protocols = ['tcp', 'udp'] as const

export const calico: Shape = {
  name: 'calico',
  podChain: 'cali-tw-pod',
  sets: ({ number, peers }) => [
    `create cali40s-${number} hash:net`,
    ...peers.map((peer) => `add cali40s-${number} ${peer}`),
  ],
  chains: ({ number }) => [`:cali-pi-${number} -`],
  rules: ({ number }, { port }) =>
    protocols.flatMap((protocol) => [
      `-A cali-pi-${number} -p ${protocol} -m set --match-set cali40s-${number} src ` +
        `-m multiport --dports ${port} -j MARK --set-xmark ${passed}`,
      `-A cali-pi-${number} -m mark --mark ${passed} -j RETURN`,
    ]),
  jumps: ({ number }) => [
    `-A cali-tw-pod -m mark --mark 0x0/0x20000 -j cali-pi-${number}`,
    `-A cali-tw-pod -m mark --mark ${passed} -j RETURN`,
  ],
  head: ({ link }) => [
    ':cali-FORWARD -',
    ':cali-to-wl-dispatch -',
    ':cali-tw-pod -',
    '-A FORWARD -j cali-FORWARD',
    '-A cali-FORWARD -j MARK --set-xmark 0x0/0xe0000',
    `-A cali-FORWARD -o ${link} -j cali-to-wl-dispatch`,
    `-A cali-to-wl-dispatch -o ${link} -g cali-tw-pod`,
    '-A cali-tw-pod -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    '-A cali-tw-pod -m conntrack --ctstate INVALID -j DROP',
    '-A cali-tw-pod -j MARK --set-xmark 0x0/0x10000',
    '-A cali-tw-pod -j MARK --set-xmark 0x0/0x20000',
  ],
  tail: () => ['-A cali-tw-pod -j DROP'],
}

export const kubeRouter: Shape = {
  name: 'kube-router',
  podChain: 'KUBE-POD-FW',
  sets: ({ number, peers }, { address }) => [
    `create KUBE-SRC-${number} hash:ip`,
    ...peers.map((peer) => `add KUBE-SRC-${number} ${peer}`),
    `create KUBE-DST-${number} hash:ip`,
    `add KUBE-DST-${number} ${address}`,
  ],
  chains: ({ number }) => [`:KUBE-NWPLCY-${number} -`],
  rules: ({ number }, { port }) =>
    protocols.flatMap((protocol) => [
      `-A KUBE-NWPLCY-${number} -p ${protocol} -m set --match-set KUBE-SRC-${number} src ` +
        `-m set --match-set KUBE-DST-${number} dst -m ${protocol} --dport ${port} ` +
        `-j MARK --set-xmark ${passed}`,
      `-A KUBE-NWPLCY-${number} -m mark --mark ${passed} -j RETURN`,
    ]),
  jumps: ({ number }, { address }) => [`-A KUBE-POD-FW -d ${address} -j KUBE-NWPLCY-${number}`],
  head: ({ address }) => [
    ':KUBE-ROUTER-FORWARD -',
    ':KUBE-POD-FW -',
    '-A FORWARD -j KUBE-ROUTER-FORWARD',
    `-A KUBE-ROUTER-FORWARD -d ${address} -j KUBE-POD-FW`,
    `-A KUBE-ROUTER-FORWARD -s ${address} -j KUBE-POD-FW`,
    '-A KUBE-POD-FW -m conntrack --ctstate INVALID -j DROP',
    '-A KUBE-POD-FW -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    `-A KUBE-POD-FW -m addrtype --src-type LOCAL -d ${address} -j ACCEPT`,
  ],
  tail: () => [
    `-A KUBE-POD-FW -m mark ! --mark ${passed} -j REJECT`,
    '-A KUBE-POD-FW -j MARK --set-xmark 0x0/0x10000',
  ],
}

function restore(node: Netns, argv: readonly string[], lines: readonly string[]): void {
  const done = node.exec(argv, { input: `${lines.join('\n')}\n`, timeoutMs: 600_000 })
  if (done.code !== 0) throw new Error(`Cannot ${argv.join(' ')}: ${done.stderr.slice(0, 300)}`)
}

const iptables = ['/usr/sbin/iptables-nft-restore', '--noflush'] as const
const ipset = ['/usr/sbin/ipset', 'restore'] as const

/** All policies of the pod, as after a start; none isolate it if there are none. */
export function loadIptables(
  node: Netns,
  shape: Shape,
  pod: Served,
  policies: readonly IptablesPolicy[],
): void {
  if (policies.length === 0) return
  restore(
    node,
    ipset,
    policies.flatMap((policy) => shape.sets(policy, pod)),
  )
  const head = shape.head(pod)
  restore(node, iptables, [
    '*filter',
    ...head.filter((line) => line.startsWith(':')),
    ...policies.flatMap(shape.chains),
    ...head.filter((line) => !line.startsWith(':')),
    ...policies.flatMap((policy) => shape.rules(policy, pod)),
    ...policies.flatMap((policy) => shape.jumps(policy, pod)),
    ...shape.tail(pod),
    'COMMIT',
  ])
}

/** One more policy: its sets, its chain, and the jump to it before all others. */
export function addIptablesPolicy(
  node: Netns,
  shape: Shape,
  pod: Served,
  policy: IptablesPolicy,
): void {
  restore(node, ipset, shape.sets(policy, pod))
  restore(node, iptables, [
    '*filter',
    ...shape.chains(policy),
    ...shape.rules(policy, pod),
    // behind the rules about conntrack and marks
    ...shape
      .jumps(policy, pod)
      .map((line) => line.replace(`-A ${shape.podChain}`, `-I ${shape.podChain} 5`)),
    'COMMIT',
  ])
}

/** One more pod that a policy lets in. */
export function addIptablesPeer(
  node: Netns,
  shape: Shape,
  policy: IptablesPolicy,
  address: string,
): void {
  const set = shape.name === 'calico' ? `cali40s-${policy.number}` : `KUBE-SRC-${policy.number}`
  restore(node, ipset, [`add ${set} ${address}`])
}
