import type { PolicyStatus } from '../../serve/agent-status.ts'
import { formatSeconds } from '../duration.ts'
import { type Check, error, listed, ok, unknown, warning } from './check.ts'
import type { Facts } from './facts.ts'

/** Whether the kernel knows for which pods policies hold. */
export const policyTableCheck: Check = ({ policy }) => {
  if ('unseen' in policy) return [unknown('policy-table', policy.unseen)]
  const { hasTable, policed, unguarded } = policy
  if (policed === 0) return []
  if (hasTable && unguarded.length === 0)
    return [ok('policy-table', `policies hold for ${policed} pods`)]
  return [
    error('policy-table', {
      found: hasTable
        ? `inet tulle-policy does not know ${listed(unguarded)}`
        : 'inet tulle-policy is not there, and policies are to hold for pods here',
      meaning: 'whatever policies say, everything passes to and from these pods',
      remedy: 'a running agent puts it back at once; find out who deletes nftables tables',
    }),
  ]
}

/** Pods that nothing passes to or from, as nobody has told what their policies say. */
export const closedPods: Check = (facts) => {
  if ('unseen' in facts.policy) return []
  const { closed } = facts.policy
  if (closed.length === 0) return []
  const { why, remedy } = whyClosed(closed, facts)
  return [
    error('closed-pods', {
      found: `closed: ${listed(closed)}: ${why}`,
      meaning: 'nothing passes to or from these pods but what their own node sends',
      remedy,
    }),
  ]
}

type Reason = Readonly<Record<'why' | 'remedy', string>>

function whyClosed(closed: readonly string[], { agent }: Facts): Reason {
  if ('unseen' in agent || agent.kind === 'absent')
    return {
      why: 'no agent answers that could tell the kernel their policies',
      remedy: 'start the agent; or take "policy" out of the network and make the pods anew',
    }
  const { policy } = agent.status
  if (policy === undefined)
    return {
      why: 'the agent that runs does not enforce policies',
      remedy: 'let it ("policy": true in its configuration); or take "policy" out of the network',
    }
  if (policy.pending !== undefined)
    return { why: policy.pending, remedy: '"tulle status" tells the last errors' }
  if (closed.some((pod) => policy.waiting.includes(pod)))
    return {
      why: 'the source of pods has not told of them',
      remedy: 'see whether they are there (kubectl get pod), with the uid that the runtime knows',
    }
  return {
    why: 'the agent has not come to them yet',
    remedy: 'ask again; if it lasts, see the agent’s log',
  }
}

/** Between two pods of one bridge packets meet no inet hook, but by br_netfilter. */
export const bridgeHooks: Check = ({ policy, sysctl }) => {
  if ('unseen' in policy) return []
  const off = policy.bridged
    .map((family) => `net/bridge/bridge-nf-call-${family === 4 ? 'iptables' : 'ip6tables'}`)
    .filter((path) => sysctl(path) !== '1')
  if (policy.bridged.length === 0) return []
  if (off.length === 0) return [ok('bridge-netfilter', 'what bridges forward is judged')]
  const isLoaded = off.every((path) => sysctl(path) !== undefined)
  const names = off.map((path) => path.replaceAll('/', '.'))
  return [
    error('bridge-netfilter', {
      found: isLoaded ? `${names.join(' and ')} is off` : 'br_netfilter is not loaded',
      meaning: 'pods on one bridge reach each other, whatever policies say',
      remedy: isLoaded
        ? `set ${names.join(' and ')} to 1; or take mode "routed"`
        : 'modprobe br_netfilter, also at boot (/etc/modules-load.d); or take mode "routed"',
    }),
  ]
}

/** Verdicts are about connections. */
export const policyConntrack: Check = ({ policy, sysctl }) => {
  if ('unseen' in policy || !policy.hasTable) return []
  if (sysctl('net/netfilter/nf_conntrack_max') !== undefined) return []
  return [
    error('nf-conntrack', {
      found: 'nf_conntrack is not there',
      meaning: 'every packet is judged by itself, so that answers do not pass',
      remedy: 'modprobe nf_conntrack, or take a kernel with it',
    }),
  ]
}

export const connectionMarks: Check = ({ policy }) => {
  if ('unseen' in policy || policy.markedBy.length === 0) return []
  return [
    warning('ct-mark', {
      found: `others set bits of the ct mark that are Tulle's: ${listed(policy.markedBy)}`,
      meaning:
        'each unsettles the other: their marks are lost, and connections are judged over and over',
      remedy: 'have them use the low 12 bits alone (mask 0xfff)',
    }),
  ]
}

/** Longer than an API server and a kernel take together. */
const lagSecondsMax = 10

/** What the agent tells of policies; each odd policy is one of its findings. */
export const enforcement: Check = ({ agent }) => {
  const policy = 'status' in agent ? agent.status.policy : undefined
  if (!policy) return []
  const { policies, localAddresses, pending, lagSeconds = 0 } = policy
  if (pending === undefined || lagSeconds < lagSecondsMax)
    return [
      ok('policy', `${policies} policies, ${localAddresses} addresses of pods, ${at(policy)}`),
    ]
  return [
    error('policy', {
      found: `not in force for ${formatSeconds(lagSeconds)}: ${pending}`,
      meaning: 'the kernel enforces what was before; new pods are closed',
      remedy: '"tulle status" tells the last errors; so does the agent’s log',
    }),
  ]
}

const at = ({ revisions }: PolicyStatus): string => {
  const told = Object.entries(revisions).sort()
  if (told.length === 0) return 'no revision told'
  return told.map(([kind, revision]) => `${kind} ${revision}`).join(', ')
}
