import type { Mode } from './attachment.ts'
import type { Json } from './cni.ts'
import type { Host, Pod } from './host.ts'
import { records } from './leases.ts'
import { runDirOf } from './policed.ts'
import { watchResidue } from './residue.ts'

// What the tests share that kill plugin or server at every step.

/** What dies: which verb of which network. */
export type Killed = Readonly<{
  mode: Mode
  verb: 'ADD' | 'DEL'
  asks: 'interface' | 'chain' | 'policy'
}>

/** The sysctl of the pod that a chain sets. */
export const sysctl = 'net.core.somaxconn'

/** Of everything that a part does: elements, links, filters, buckets, conntrack, sysctls. */
const chain = (hostPort: number): Json => ({
  sysctl: { [sysctl]: '512' },
  txQLen: 500,
  ingressPolicy: 'same-bridge',
  runtimeConfig: {
    portMappings: ['tcp', 'udp'].map((protocol) => ({ hostPort, containerPort: 80, protocol })),
    bandwidth: { ingressRate: 1e8, ingressBurst: 8e6, egressRate: 1e8, egressBurst: 8e6 },
  },
})

export function keysOf(host: Host, asks: Killed['asks'], hostPort: number): Json {
  switch (asks) {
    case 'interface':
      return {}
    case 'chain':
      return chain(hostPort)
    case 'policy':
      return { policy: { enforce: true, runDir: runDirOf(host) } }
  }
}

/** As `watchResidue`, with what the store has on record of containers. */
export function watchAll(host: Host, pods: readonly Pod[]): () => readonly string[] {
  const left = watchResidue(
    host,
    pods.map(({ netns }) => netns),
  )
  const before = records(host.dataDir)
  return () => {
    const known = records(host.dataDir).filter((line) => !before.includes(line))
    return [...left(), ...known.map((line) => `record ${line}`)]
  }
}
