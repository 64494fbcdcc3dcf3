import { copyFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ClusterNode } from '../machine/node.ts'
import { until } from '../machine/until.ts'

/** Debian's containernetworking-plugins, in the chain that most nodes have. */
const plugins = ['bridge', 'host-local', 'portmap'] as const
const bridge = 'peer0'

const conflist = {
  cniVersion: '1.0.0',
  name: 'peer',
  plugins: [
    {
      type: 'bridge',
      bridge,
      isGateway: true,
      ipMasq: true,
      hairpinMode: true,
      ipam: {
        type: 'host-local',
        // ranges of their own: the node's podCIDRs are leased by Tulle
        ranges: [[{ subnet: '10.88.0.0/16' }], [{ subnet: 'fd00:88::/64' }]],
        routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
      },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
}

/**
 * The node's new pods get the reference plugins' network while `use` runs: their list stands before
 * Tulle's, and the runtime takes the first.
 */
export async function withPeerNetwork(node: ClusterNode, use: () => Promise<void>): Promise<void> {
  const { computer } = node
  const list = join(computer.disk, 'etc/cni/net.d/00-peer.conflist')
  const places = plugins.map((name) => join(computer.disk, 'opt/cni/bin', name))
  for (const [at, name] of plugins.entries()) copyFileSync(`/usr/lib/cni/${name}`, places[at] ?? '')
  writeFileSync(list, JSON.stringify(conflist))
  await node.containerd.stop()
  await node.startContainerd()
  try {
    await use()
  } finally {
    for (const path of [list, ...places]) rmSync(path)
    await node.containerd.stop()
    await node.startContainerd()
    await computer.exec(['ip', 'link', 'del', bridge])
    const heard = async (): Promise<boolean> =>
      (await computer.exec(['/opt/cni/bin/tulle', 'status'])).code === 0
    await until('Tulle to be the network again', heard)
  }
}
