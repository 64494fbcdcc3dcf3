import { makeNetns, type Netns } from '../support/netns.ts'
import type { Attachment } from './cases.ts'
import { bridgeName } from './conf.ts'

/** A node namespace with an uplink, a default route and forwarding on, as a node has them. */
export function makeNode(outside: Netns, place: number): Netns {
  const node = makeNetns('bench-node')
  try {
    const far = `node${place}`
    node.ip('link', 'add', 'uplink', 'type', 'veth', 'peer', 'name', far, 'netns', outside.name)
    outside.ip('link', 'set', far, 'up')
    node.ip('addr', 'add', '192.0.2.2/24', 'dev', 'uplink')
    node.ip('addr', 'add', '2001:db8::2/64', 'dev', 'uplink', 'nodad')
    node.ip('link', 'set', 'uplink', 'up')
    node.ip('route', 'add', 'default', 'via', '192.0.2.1')
    node.ip('-6', 'route', 'add', 'default', 'via', '2001:db8::1')
    for (const path of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding'])
      mustRun(node, ['sh', '-c', `echo 1 > /proc/sys/net/${path}`], '')
    return node
  } catch (fault) {
    node.close()
    throw fault
  }
}

/** What the kernel floor finds in place: the node's bridge and the sets that pods are added to. */
export function prepareFloor(node: Netns, attachment: Attachment): void {
  const bridge = attachment.wiring === 'bridge'
  if (bridge) {
    node.ip('link', 'add', bridgeName, 'type', 'bridge')
    node.ip('addr', 'add', '10.88.0.1/16', 'dev', bridgeName)
    node.ip('addr', 'add', 'fd00:88::1/64', 'dev', bridgeName, 'nodad')
    node.ip('link', 'set', bridgeName, 'up')
  }
  mustRun(node, ['nft', '-f', '-'], floorTables(bridge ? 'bridge' : 'inet'))
}

const floorTables = (guardFamily: 'inet' | 'bridge'): string => `
table inet floor {
  set masquerade4 { type ipv4_addr; }
  set masquerade6 { type ipv6_addr; }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr @masquerade4 ip daddr != 10.88.0.0/16 masquerade
    ip6 saddr @masquerade6 ip6 daddr != fd00:88::/64 masquerade
  }
}
table ${guardFamily} floor {
  set guard4 { type ifname . ipv4_addr; }
  set guard6 { type ifname . ipv6_addr; }
  chain prerouting {
    type filter hook prerouting priority -300;
    iifname "floor*" meta protocol ip iifname . ip saddr != @guard4 drop
    iifname "floor*" meta protocol ip6 iifname . ip6 saddr != @guard6 drop
  }
}
`

function mustRun(node: Netns, argv: readonly string[], input: string): void {
  const done = node.exec(argv, { input })
  if (done.code !== 0) throw new Error(`Cannot ${argv.join(' ')}: ${done.stderr.trim()}`)
}
