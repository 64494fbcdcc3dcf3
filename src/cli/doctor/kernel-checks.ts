import { type Check, error, listed, ok, unknown, warning } from './check.ts'

/** What the kernel can, and what this process may ask it. */
export const kernelFeatures: Check = ({ features }) => {
  const named = (state: string): readonly string[] =>
    features.filter((feature) => feature.state === state).map(({ name }) => name)
  const missing = named('missing')
  const unseen = named('unknown')
  return [
    ...(missing.length > 0
      ? [
          error('kernel-features', {
            found: `the kernel has no ${listed(missing)}`,
            meaning: 'pods get no network, or do not reach other nodes',
            remedy: `load the modules ("modprobe ${missing.join(' ')}") or take a kernel with them`,
          }),
        ]
      : [
          ok('kernel-features', `there: ${named('there').join(', ') || 'none could be asked for'}`),
        ]),
    ...(unseen.length > 0
      ? [unknown('kernel-features', `${listed(unseen)}: only root may ask the kernel`)]
      : []),
  ]
}

/** What the plugin needs: links, rules and sysctls; other namespaces. */
const needed = ['net_admin', 'sys_admin']

export const capabilities: Check = (facts) => {
  const lacking = needed.filter((name) => !facts.capabilities.has(name))
  if (lacking.length === 0) return [ok('capabilities', needed.join(', '))]
  return [
    unknown(
      'capabilities',
      `this process lacks ${lacking.join(' and ')}: some checks see nothing; run it as root, in ` +
        "the host's network namespace",
    ),
  ]
}

const nearlyFull = 0.9

export const conntrack: Check = ({ sysctl }) => {
  const count = Number(sysctl('net/netfilter/nf_conntrack_count'))
  const max = Number(sysctl('net/netfilter/nf_conntrack_max'))
  // Not loaded: the first rule that needs it does that.
  if (Number.isNaN(count) || Number.isNaN(max) || max === 0) return []
  if (count < max * nearlyFull) return [ok('conntrack-table', `${count} of ${max} connections`)]
  return [
    error('conntrack-table', {
      found: `${count} of ${max} connections are tracked`,
      meaning: 'new connections of every pod are dropped when the table is full',
      remedy: 'raise net.netfilter.nf_conntrack_max, and find out who opens so many',
    }),
  ]
}

/** Permanent entries, as those of other nodes, don't count against it (Linux 5.0). */
export const neighbourTable: Check = ({ sysctl, learnedNeighbours }) =>
  ([4, 6] as const).flatMap((family) => {
    const path = `net/ipv${family}/neigh/default/gc_thresh3`
    const max = Number(sysctl(path))
    const count = learnedNeighbours[family]
    if (Number.isNaN(max)) return []
    if (count < max * nearlyFull)
      return [ok('neighbour-table', `${count} of ${max} learned IPv${family} neighbours`)]
    return [
      error('neighbour-table', {
        found: `${count} of ${max} IPv${family} neighbours are taken by learned entries`,
        meaning: 'the kernel drops packets to neighbours that it has no room for',
        remedy: `raise ${path.replaceAll('/', '.')} to ${Math.max(8_192, max * 4)}`,
      }),
    ]
  })

/** Whether there is anything yet that has to be forwarded. */
const isInUse = ({ store, fabric }: Parameters<Check>[0]): boolean =>
  (store !== null && 'podLinks' in store && store.podLinks.length > 0) ||
  ('devices' in fabric && fabric.devices.length > 0)

const hasPodsOf = (family: 4 | 6, { store, agent }: Parameters<Check>[0]): boolean => {
  const leased =
    store !== null &&
    'leases' in store &&
    store.leases.some(({ address }) => address.family === family)
  const podCIDRs = 'status' in agent ? (agent.status.self?.podCIDRs ?? []) : []
  return leased || podCIDRs.some((prefix) => prefix.includes(':') === (family === 6))
}

export const forwarding: Check = (facts) => {
  const files = [
    ...(hasPodsOf(4, facts) || !hasPodsOf(6, facts) ? ['net/ipv4/ip_forward'] : []),
    ...(hasPodsOf(6, facts) ? ['net/ipv6/conf/all/forwarding'] : []),
  ]
  return files.map((path) => {
    const name = path.replaceAll('/', '.')
    if (facts.sysctl(path) !== '0') return ok('forwarding', `${name} is ${facts.sysctl(path)}`)
    if (!isInUse(facts)) return ok('forwarding', `${name} is 0; the first pod switches it on`)
    return error('forwarding', {
      found: `${name} is 0`,
      meaning: 'the kernel passes no packet on: pods reach nobody, and nobody them',
      remedy: `set it to 1, and look in /etc/sysctl.d for who sets it to 0`,
    })
  })
}

export const ipv6Enabled: Check = (facts) => {
  if (!hasPodsOf(6, facts)) return []
  const uplinks = 'status' in facts.agent ? (facts.agent.status.self?.uplinks ?? []) : []
  const names = ['all', ...uplinks.filter(({ family }) => family === 6).map(({ link }) => link)]
  const off = names
    .map((name) => `net/ipv6/conf/${name}/disable_ipv6`)
    .filter((path) => facts.sysctl(path) === '1')
  const isAbsent = facts.sysctl('net/ipv6/conf/all/disable_ipv6') === undefined
  if (off.length === 0 && !isAbsent) return [ok('ipv6', 'enabled')]
  return [
    error('ipv6', {
      found: isAbsent ? 'the kernel runs without IPv6' : `${listed(off).replaceAll('/', '.')} is 1`,
      meaning: 'pods have IPv6 addresses here, and no packet to or from them passes',
      remedy: isAbsent ? 'start the kernel without ipv6.disable=1' : 'set it to 0',
    }),
  ]
}

/** Strict reverse path filtering: the larger one of "all" and the link's counts (ip-sysctl). */
export const reversePath: Check = ({ sysctl, fabric, links }) => {
  const devices = 'devices' in fabric ? fabric.devices.map(({ name }) => name) : []
  const names = [...devices, ...uplinksOf({ fabric, links })]
  const strict = names.filter((name) => {
    const values = ['all', name].map((one) => Number(sysctl(`net/ipv4/conf/${one}/rp_filter`) ?? 0))
    return Math.max(...values) === 1
  })
  if (names.length === 0) return []
  if (strict.length === 0) return [ok('rp-filter', `not strict on ${listed(names)}`)]
  return [
    warning('rp-filter', {
      found: `rp_filter is 1 (strict) on ${listed(strict)}`,
      meaning: 'packets whose way back is another are dropped, as while a route changes its way',
      remedy: 'set net.ipv4.conf.<link>.rp_filter, and that of "all", to 2 (loose) or 0',
    }),
  ]
}

/** Links that routes of ours without a tunnel leave by. */
function uplinksOf({ fabric }: Pick<Parameters<Check>[0], 'fabric' | 'links'>): readonly string[] {
  if (!('routes' in fabric)) return []
  const direct = fabric.routes.filter(({ mode }) => mode === 'direct').map(({ device }) => device)
  return [...new Set(direct)]
}
