import { makeNetns, type Netns, run } from '../../support/netns.ts'
import { podCIDROf } from './fleet.ts'

/** The same tunnel by iproute2, a batch each of neighbours, FDB entries, routes: milliseconds. */
export function programByHand(count: number): number {
  const netns = makeNetns('batch')
  try {
    netns.ip(
      ...['link', 'add', 'tulle.1', 'type', 'vxlan', 'id', '1', 'dstport', '8472', 'nolearning'],
      ...['local', '10.99.0.9'],
    )
    netns.ip('link', 'set', 'tulle.1', 'up')
    const peers = Array.from({ length: count }, (_, n) => n)
    const began = performance.now()
    batch(netns, 'ip', peers, (n) => `neigh add ${firstOf(n)} lladdr ${macOf(n)} dev tulle.1`)
    batch(netns, 'bridge', peers, (n) => `fdb add ${macOf(n)} dst ${nodeOf(n)} dev tulle.1 self`)
    batch(netns, 'ip', peers, (n) => `route add ${podCIDROf(n)} via ${firstOf(n)} ${onTunnel}`)
    return performance.now() - began
  } finally {
    netns.close()
  }
}

const onTunnel = 'dev tulle.1 onlink proto 116'
const firstOf = (n: number): string => podCIDROf(n).split('/')[0] ?? ''
const nodeOf = (n: number): string => `10.100.${n >> 8}.${n & 255}`
const macOf = (n: number): string =>
  `02:00:00:00:${(n >> 8).toString(16).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}`

function batch(
  netns: Netns,
  program: 'ip' | 'bridge',
  peers: readonly number[],
  line: (n: number) => string,
): void {
  const input = `${peers.map(line).join('\n')}\n`
  const done = netns.exec([program, '-batch', '-'], { input })
  if (done.code !== 0) throw new Error(`Cannot ${program} -batch: ${done.stderr.trim()}`)
}

/** True where both programs are here. */
export const hasIproute = (): boolean => run(['bridge', '-V']).code === 0
