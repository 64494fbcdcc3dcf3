export type Before =
  | Readonly<{ ip: readonly string[] }>
  | Readonly<{ tc: readonly string[] }>
  | Readonly<{ bridge: readonly string[] }>
  | Readonly<{ nft: string }>

/** What `ip`, `tc` and `nft` are asked in a throw-away namespace; the datagram that is kept. */
export type Recipe = Readonly<{
  /** The file under test/golden/. */
  name: string
  /** Batches of `ip` and `tc`, scripts of `nft` that go before, none of them captured. */
  before?: readonly Before[]
  /** The command; POD stands for the name of a second namespace, FILE for a file with `script`. */
  command: string
  script?: string
  /** Of what is sent or received, the first datagram that holds a message of this type. */
  keep: number
  /** The last of them instead: `ip link` and `nft` ask the kernel something before. */
  last?: true
  way: 'sent' | 'received'
}>

const hostMac = '0a:58:0a:01:00:01'
const podMac = '0a:58:0a:01:00:05'
const bridgeMac = '0a:58:0a:01:00:02'
const veth = `link add host0 address ${hostMac} type veth peer name eth0 address ${podMac}`
const bridge = `link add br0 address ${bridgeMac} type bridge`
/** Numbers of the first links of a new namespace: lo is 1. */
const links = { ip: [veth, bridge] }
const up = { ip: ['link set br0 up', 'addr add 192.0.2.1/24 dev br0'] }

const RTM = { newLink: 16, delLink: 17, getLink: 18, newAddr: 20, delAddr: 21, getAddr: 22 }
const RTR = {
  newRoute: 24,
  delRoute: 25,
  getRoute: 26,
  newNeigh: 28,
  delNeigh: 29,
  getNeigh: 30,
}
const sent = (name: string, command: string, keep: number): Recipe => ({
  name,
  before: [links, up],
  command,
  keep,
  ...(keep === RTM.newLink ? { last: true } : {}),
  way: 'sent',
})

const linkRecipes: readonly Recipe[] = [
  {
    name: 'link-add-veth',
    command:
      `ip link add host0 mtu 1400 address ${hostMac} type veth ` +
      `peer name eth0 mtu 1400 address ${podMac} netns POD`,
    keep: RTM.newLink,
    last: true,
    way: 'sent',
  },
  {
    name: 'link-add-bridge',
    command: `ip link add br0 mtu 1400 address ${bridgeMac} type bridge`,
    keep: RTM.newLink,
    last: true,
    way: 'sent',
  },
  sent('link-set-up', 'ip link set dev host0 up', RTM.newLink),
  sent('link-set-down', 'ip link set dev host0 down', RTM.newLink),
  sent('link-set-address', `ip link set dev host0 address ${hostMac}`, RTM.newLink),
  sent('link-set-master-up', 'ip link set dev host0 master br0 up', RTM.newLink),
  sent('link-set-promisc', 'ip link set dev br0 promisc on', RTM.newLink),
  sent('link-set-promisc-off', 'ip link set dev br0 promisc off', RTM.newLink),
  sent('link-set-allmulti', 'ip link set dev host0 allmulticast on', RTM.newLink),
  sent('link-set-allmulti-off', 'ip link set dev host0 allmulticast off', RTM.newLink),
  sent('link-set-queue', 'ip link set dev host0 txqueuelen 250', RTM.newLink),
  sent('link-set-mtu', 'ip link set dev host0 mtu 1400', RTM.newLink),
  sent('link-set-alias', 'ip link set dev host0 alias "tulle1 10.1.0.5 eth0"', RTM.newLink),
  sent('link-set-addrgenmode', 'ip link set dev host0 addrgenmode none', RTM.newLink),
  {
    ...sent(
      'link-set-port',
      'ip link set dev host0 type bridge_slave hairpin on isolated on',
      RTM.newLink,
    ),
    before: [links, up, { ip: ['link set host0 master br0'] }],
  },
  sent('link-delete', 'ip link delete dev host0', RTM.delLink),
  sent('link-get', 'ip link show dev host0', RTM.getLink),
  sent('link-dump', 'ip link show', RTM.getLink),
]

const addressRecipes: readonly Recipe[] = [
  sent('address-add-v4', 'ip address add 10.1.0.1/32 dev br0 noprefixroute', RTM.newAddr),
  sent('address-add-v4-subnet', 'ip address add 10.1.0.1/24 dev br0', RTM.newAddr),
  sent('address-add-v6', 'ip address add 2001:db8::1/64 dev br0 nodad noprefixroute', RTM.newAddr),
  {
    ...sent('address-delete', 'ip address delete 10.1.0.1/24 dev br0', RTM.delAddr),
    before: [links, up, { ip: ['addr add 10.1.0.1/24 dev br0'] }],
  },
  sent('address-dump', 'ip address show dev br0', RTM.getAddr),
]

const routeRecipes: readonly Recipe[] = [
  sent(
    'route-add-scope-link',
    'ip route add 10.1.0.5/32 dev br0 scope link proto 116',
    RTR.newRoute,
  ),
  sent(
    'route-add-onlink',
    'ip route add default via 10.9.9.9 dev br0 onlink proto 116',
    RTR.newRoute,
  ),
  sent(
    'route-add-metrics',
    'ip route add 10.2.0.0/16 via 192.0.2.9 dev br0 mtu 1300 advmss 1200 metric 77 proto 116',
    RTR.newRoute,
  ),
  sent(
    'route-add-table',
    'ip route add 10.2.0.0/16 via 192.0.2.9 dev br0 table 1000 proto 116',
    RTR.newRoute,
  ),
  sent('route-add-v6', 'ip -6 route add 2001:db8:1::/64 dev br0 proto 116', RTR.newRoute),
  sent(
    'route-add-v6-default',
    'ip -6 route add default via fe80::1 dev br0 onlink proto 116',
    RTR.newRoute,
  ),
  sent(
    'route-add-local',
    'ip -6 route add local ::1 dev br0 table local proto 116 metric 4096',
    RTR.newRoute,
  ),
  sent('route-get', 'ip route get fibmatch 192.0.2.77', RTR.getRoute),
  sent('route-dump', 'ip route show table all', RTR.getRoute),
]

const neighbourRecipes: readonly Recipe[] = [
  sent(
    'neighbour-replace-v4',
    `ip neighbour replace 192.0.2.5 lladdr ${podMac} nud permanent dev br0`,
    RTR.newNeigh,
  ),
  sent(
    'neighbour-replace-v6',
    `ip neighbour replace fe80::1 lladdr ${podMac} nud permanent dev br0`,
    RTR.newNeigh,
  ),
  sent('neighbour-dump', 'ip neighbour show', RTR.getNeigh),
]

const checksums = 'udpcsum noudp6zerocsumtx udp6zerocsumrx'
const vxlan =
  'link add tulle.1 mtu 1450 address 02:74:c0:00:02:01 type vxlan id 1 local 192.0.2.1 ' +
  `nolearning dstport 8472 ${checksums}`
const vxlan6 =
  'link add tulle-v6.1 mtu 1430 address 02:74:c0:00:02:01 type vxlan id 1 ' +
  `local 2001:db8::1 nolearning dstport 8472 ${checksums}`
const peerMac = '02:74:c0:00:02:09'
const tunnels = {
  ip: [
    vxlan,
    vxlan6,
    'link set tulle.1 up',
    'link set tulle-v6.1 up',
    `neighbour add 10.2.0.0 lladdr ${peerMac} nud permanent dev tulle.1`,
  ],
}
const fdb = { bridge: [`fdb add ${peerMac} dev tulle.1 dst 192.0.2.9 self permanent`] }
const entries = {
  ip: [
    'addr add 10.1.0.0/32 dev tulle.1',
    'route add 10.2.0.0/24 via 10.2.0.0 dev tulle.1 onlink src 10.1.0.0 proto 116',
  ],
}
const tunnel = (name: string, command: string, keep: number): Recipe => ({
  ...sent(name, command, keep),
  before: [links, up, tunnels, fdb, entries],
})

const tunnelRecipes: readonly Recipe[] = [
  { ...sent('link-add-vxlan', `ip ${vxlan}`, RTM.newLink), before: [] },
  { ...sent('link-add-vxlan-v6', `ip ${vxlan6}`, RTM.newLink), before: [] },
  tunnel(
    'link-set-vxlan',
    'ip link set dev tulle.1 type vxlan id 1 local 192.0.2.2 nolearning',
    RTM.newLink,
  ),
  tunnel(
    'forwarding-replace-v4',
    `bridge fdb replace ${peerMac} dev tulle.1 dst 192.0.2.9 self permanent`,
    RTR.newNeigh,
  ),
  tunnel(
    'forwarding-replace-v6',
    `bridge fdb replace ${peerMac} dev tulle-v6.1 dst 2001:db8::9 self permanent`,
    RTR.newNeigh,
  ),
  tunnel(
    'forwarding-delete',
    `bridge fdb del ${peerMac} dev tulle.1 dst 192.0.2.9 self`,
    RTR.delNeigh,
  ),
  tunnel('forwarding-dump', 'bridge fdb show dev tulle.1', RTR.getNeigh),
  tunnel('neighbour-delete', 'ip neighbour delete 10.2.0.0 dev tulle.1', RTR.delNeigh),
  tunnel('neighbour-dump-link', 'ip neighbour show dev tulle.1', RTR.getNeigh),
  tunnel(
    'route-replace',
    'ip route replace 10.2.0.0/24 via 192.0.2.9 dev br0 src 192.0.2.1 proto 116',
    RTR.newRoute,
  ),
  tunnel(
    'route-delete',
    'ip route delete 10.2.0.0/24 via 10.2.0.0 dev tulle.1 proto 116',
    RTR.delRoute,
  ),
  tunnel('route-dump-protocol', 'ip route show proto 116 dev tulle.1', RTR.getRoute),
  { ...tunnel('reply-vxlan', 'ip link show', RTM.newLink), way: 'received' },
  { ...tunnel('reply-forwarding', 'bridge fdb show dev tulle.1', RTR.newNeigh), way: 'received' },
  { ...tunnel('reply-route-source', 'ip route show proto 116', RTR.newRoute), way: 'received' },
]

const received = (name: string, command: string, keep: number): Recipe => ({
  name,
  before: [
    links,
    up,
    {
      ip: [
        'link set host0 mtu 1400 master br0 alias "tulle1 10.1.0.5 eth0" up',
        'link set host0 type bridge_slave hairpin on isolated on',
        'address add 2001:db8::1/64 dev br0 nodad',
        'route add 10.2.0.0/16 via 192.0.2.9 dev br0 mtu 1300 metric 77 proto 116 table 1000',
        'route add 10.3.0.0/16 nexthop via 192.0.2.9 dev br0 nexthop via 192.0.2.8 dev br0',
        'route add unreachable 10.4.0.0/16',
        `neighbour replace 192.0.2.5 lladdr ${podMac} nud permanent dev br0`,
      ],
    },
  ],
  command,
  keep,
  way: 'received',
})

const TC = { newQdisc: 36, delQdisc: 37, getQdisc: 38 }
const TCF = { newFilter: 44, delFilter: 45, getFilter: 46 }
const ifb = { ip: ['link add ifb0 type ifb'] }
const tc = (name: string, command: string, keep: number): Recipe => ({
  name,
  before: [links, ifb],
  command,
  keep,
  way: 'sent',
})
const onHook = 'tc filter add dev host0 ingress pref 61003 protocol'
const tbf = 'tc qdisc add dev host0 root handle 7475: tbf'
const bucket = { tc: ['qdisc add dev ifb0 root handle 7475: tbf rate 40gbit burst 1mb limit 2mb'] }
const clsact = {
  tc: [
    'qdisc add dev host0 clsact',
    'filter add dev host0 ingress pref 61001 protocol ip u32 match ip dst 10.0.0.0/8 flowid ffff:1',
    'filter add dev host0 ingress pref 61003 protocol all u32 match u32 0 0 ' +
      'action mirred egress redirect dev ifb0',
  ],
}

/** What the kernel refuses for want of a clsact is sent all the same. */
const trafficRecipes: readonly Recipe[] = [
  {
    name: 'link-add-ifb',
    command: `ip link add ifb1 mtu 1400 address ${hostMac} type ifb`,
    keep: RTM.newLink,
    last: true,
    way: 'sent',
  },
  tc('qdisc-add-tbf', `${tbf} rate 20mbit burst 25000 limit 62500`, TC.newQdisc),
  tc('qdisc-add-tbf-fast', `${tbf} rate 40gbit burst 50mb limit 125mb`, TC.newQdisc),
  tc(
    'qdisc-add-tbf-peak',
    `${tbf} rate 5mbit burst 625000 limit 15625 peakrate 10gbit minburst 3750`,
    TC.newQdisc,
  ),
  tc('qdisc-add-clsact', 'tc qdisc add dev host0 clsact', TC.newQdisc),
  tc('qdisc-delete-root', 'tc qdisc delete dev host0 root handle 7475:', TC.delQdisc),
  tc('qdisc-delete-clsact', 'tc qdisc delete dev host0 clsact', TC.delQdisc),
  tc('qdisc-dump', 'tc qdisc show', TC.getQdisc),
  tc(
    'filter-add-redirect',
    `${onHook} all u32 match u32 0 0 action mirred egress redirect dev ifb0`,
    TCF.newFilter,
  ),
  tc(
    'filter-add-v4',
    `${onHook} ip u32 match ip src 10.16.0.0/12 action mirred egress redirect dev ifb0`,
    TCF.newFilter,
  ),
  tc('filter-add-v6', `${onHook} ipv6 u32 match ip6 dst fd00:77:1::/44 flowid :1`, TCF.newFilter),
  tc('filter-delete', 'tc filter delete dev host0 egress pref 61002 protocol ipv6', TCF.delFilter),
  {
    ...tc('filter-dump', 'tc filter show dev host0 ingress', TCF.getFilter),
    before: [links, ifb, bucket, clsact],
  },
  {
    ...tc('reply-qdiscs', 'tc qdisc show', TC.newQdisc),
    before: [links, ifb, bucket, clsact],
    way: 'received',
  },
  {
    ...tc('reply-filters', 'tc filter show dev host0 ingress', TCF.newFilter),
    before: [links, ifb, bucket, clsact],
    way: 'received',
  },
]

const replyRecipes: readonly Recipe[] = [
  received('reply-links', 'ip link show', RTM.newLink),
  received('reply-addresses', 'ip address show dev br0', RTM.newAddr),
  received('reply-routes', 'ip -4 route show table all', RTR.newRoute),
  received('reply-neighbours', 'ip neighbour show', RTR.newNeigh),
  received('reply-route', 'ip route get fibmatch 192.0.2.77', RTR.newRoute),
  received('reply-refusal', 'ip route add 10.9.9.0/24 via 10.1.2.4', 2),
  received('reply-acknowledgement', 'ip address add 10.9.9.9/32 dev br0', 2),
]

const subsystem = 10 << 8
const NFT = {
  newTable: 0,
  delTable: 2,
  newChain: 3,
  getChain: 4,
  delChain: 5,
  newRule: 6,
  getRule: 7,
  delRule: 8,
}
const NFE = { newElement: 12, getElement: 13, delElement: 14, newGen: 15, getGen: 16 }

/** The forms of set, chain and rule that datapath/ruleset.ts is made of. */
export const inetTable = `create table inet tulle
create set inet tulle source4 { type ifname . ether_addr . ipv4_addr; }
create set inet tulle plain { type ipv6_addr; }
create map inet tulle guarded { type ifname : verdict; }
create map inet tulle masquerade4 { type ipv4_addr : verdict; }
create chain inet tulle own-address
create chain inet tulle masquerade-1
create chain inet tulle prerouting { type filter hook prerouting priority -300; }
create chain inet tulle postrouting { type nat hook postrouting priority 100; }
add rule inet tulle prerouting iifname vmap @guarded comment "anything else"
add rule inet tulle prerouting meta l4proto tcp jump own-address comment "a jump"
add rule inet tulle own-address meta nfproto ipv6 ip6 saddr fe80::/10 accept comment "link-local"
add rule inet tulle own-address drop comment "not its own"
add rule inet tulle postrouting meta nfproto ipv4 ip saddr vmap @masquerade4 comment "pods"
add rule inet tulle masquerade-1 meta nfproto ipv4 ip daddr 224.0.0.0/4 return comment "multicast"
add rule inet tulle masquerade-1 masquerade fully-random comment "the rest"
`

const guard = 'add rule bridge tulle prerouting'
/** In the bridge family nft asks for no link type before it reads a MAC, and ARP is seen. */
export const bridgeTable = `create table bridge tulle
create set bridge tulle mac { type ifname . ether_addr; }
create set bridge tulle source4 { type ifname . ether_addr . ipv4_addr; }
create chain bridge tulle prerouting { type filter hook prerouting priority -300; }
${guard} meta protocol ip iifname . ether saddr . ip saddr @source4 accept comment "IPv4"
${guard} meta protocol ip6 ip6 saddr :: iifname . ether saddr @mac accept comment "DAD"
${guard} meta protocol arp arp saddr ip 0.0.0.0 accept comment "probe"
`

/** What host ports add to that: a map with values, fib, connection labels, nat. */
const portsRule = 'add rule inet tulle ports'
const portsTable = `create table inet tulle
create map inet tulle hostport4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
create chain inet tulle ports
create chain inet tulle out { type nat hook output priority -90; }
add rule inet tulle out fib daddr type local jump ports comment "local"
${portsRule} meta nfproto ipv4 dnat ip to meta l4proto . th dport map @hostport4 comment "dnat"
${portsRule} ct label set 127 comment "set"
${portsRule} ct label 127 return comment "is set"
${portsRule} oifname != "lo" drop comment "not lo"
`
/** And ranges: what is inside the cluster. */
const clusterTable = `create table inet tulle
create set inet tulle cluster4 { type ipv4_addr; flags interval; }
create chain inet tulle out
add rule inet tulle out meta nfproto ipv4 ip daddr @cluster4 return comment "inside"
`
const range = '{ 10.9.0.0-10.9.2.255 comment "cluster" }'
const portElement = '{ tcp . 8080 comment "net/id/eth0" : 10.1.0.5 . 80 }'

const element = '{ "tulA" . 0a:58:0a:01:00:05 . 10.1.0.5 comment "net/id/eth0" }'
const jump = '{ "tulA" comment "net/id/eth0" : jump own-address }'
const elements =
  `add element inet tulle source4 ${element}\n` + `add element inet tulle guarded ${jump}\n`

const getElement = `nft get element inet tulle guarded '{ "tulA" }'`

const nft = (name: string, script: string, keep: number): Recipe => ({
  name,
  before: [{ nft: inetTable }],
  command: 'nft -f FILE',
  script,
  keep: subsystem | keep,
  way: 'sent',
})
const nftList = (name: string, command: string, keep: number, way: Recipe['way']): Recipe => ({
  name,
  before: [{ nft: inetTable }, { nft: elements }],
  command,
  keep: subsystem | keep,
  way,
})

const nftRecipes: readonly Recipe[] = [
  { ...nft('nft-table-inet', inetTable, NFT.newTable), before: [] },
  { ...nft('nft-table-ports', portsTable, NFT.newTable), before: [] },
  {
    ...nft('nft-element-add-value', `create element inet tulle hostport4 ${portElement}\n`, 12),
    before: [{ nft: portsTable }],
  },
  { ...nft('nft-table-cluster', clusterTable, NFT.newTable), before: [] },
  {
    ...nft('nft-element-add-range', `add element inet tulle cluster4 ${range}\n`, 12),
    before: [{ nft: clusterTable }],
  },
  {
    ...nftList('reply-ranges', 'nft list set inet tulle cluster4', NFE.newElement, 'received'),
    before: [
      { nft: clusterTable },
      { nft: `add element inet tulle cluster4 ${range}\n` },
      { nft: 'add element inet tulle cluster4 { 10.1.0.0/16, 224.0.0.0/3 }\n' },
    ],
  },
  { ...nft('nft-table-bridge', bridgeTable, NFT.newTable), before: [] },
  nft('nft-element-add', `create element inet tulle source4 ${element}\n`, NFE.newElement),
  nft('nft-element-add-verdict', `create element inet tulle guarded ${jump}\n`, NFE.newElement),
  {
    ...nft('nft-element-delete', 'delete element inet tulle guarded { "tulA" }\n', NFE.delElement),
    before: [{ nft: inetTable }, { nft: elements }],
  },
  nft('nft-chain-flush', 'flush chain inet tulle own-address\n', NFT.delRule),
  {
    ...nft('nft-chain-delete', 'delete chain inet tulle spare\n', NFT.delChain),
    before: [{ nft: inetTable }, { nft: 'add chain inet tulle spare\n' }],
  },
  nft('nft-table-delete', 'delete table inet tulle\n', NFT.delTable),
  {
    ...nftList('nft-element-get', getElement, NFE.getElement, 'sent'),
    last: true,
  },
  nftList('nft-element-dump', 'nft list map inet tulle guarded', NFE.getElement, 'sent'),
  nftList('nft-chain-get', 'nft list chain inet tulle own-address', NFT.getChain, 'sent'),
  nftList('reply-chain', 'nft list chain inet tulle own-address', NFT.newChain, 'received'),
  nftList('nft-rule-dump', 'nft list table inet tulle', NFT.getRule, 'sent'),
  nftList('nft-generation-get', 'nft list table inet tulle', NFE.getGen, 'sent'),
  nftList('reply-elements', 'nft list set inet tulle source4', NFE.newElement, 'received'),
  nftList('reply-elements-map', 'nft list map inet tulle guarded', NFE.newElement, 'received'),
  nftList('reply-rules', 'nft list table inet tulle', NFT.newRule, 'received'),
  nftList('reply-generation', 'nft list table inet tulle', NFE.newGen, 'received'),
]

export const recipes: readonly Recipe[] = [
  ...linkRecipes,
  ...addressRecipes,
  ...routeRecipes,
  ...neighbourRecipes,
  ...tunnelRecipes,
  ...trafficRecipes,
  ...replyRecipes,
  ...nftRecipes,
]
