import type { Host } from './host.ts'

// Hosts that drop what they do not know where they forward, made as their owners make them.

const shell = (host: Host, ...lines: readonly string[]): void => {
  for (const line of lines) {
    const done = host.netns.exec(['/bin/sh', '-c', line])
    if (done.code !== 0) throw new Error(`Cannot ${line}: ${done.stderr}`)
  }
}

/** As firewalld 1.3 with its nftables back end, public as the default zone, and nothing else. */
const firewalld = `table inet firewalld {
  chain filter_FORWARD {
    type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    jump filter_FORWARD_POLICIES_pre
    jump filter_FORWARD_ZONES
    jump filter_FORWARD_POLICIES_post
    ct state { invalid } drop
    reject with icmpx type admin-prohibited
  }
  chain filter_FORWARD_POLICIES_pre {
    jump filter_FWD_policy_admin
  }
  chain filter_FWD_policy_admin {
    meta mark 0x17 drop
  }
  chain filter_FORWARD_ZONES {
    iifname "up9" goto filter_FWD_trusted
    goto filter_FWD_public
  }
  chain filter_FORWARD_POLICIES_post { }
  chain filter_FWD_trusted { accept; }
  chain filter_FWD_public {
    jump filter_FWD_public_deny
    reject with icmpx type admin-prohibited
  }
  chain filter_FWD_public_deny { }
}`
const tables = ['iptables', 'ip6tables'] as const
const each = (...rules: readonly string[]): readonly string[] =>
  tables.flatMap((program) => rules.map((rule) => `${program} ${rule}`))

export type Firewall = Readonly<{
  name: string
  make: (host: Host) => void
  /** Drops what goes to this address, as an administrator would have it done, for good. */
  forbid: (host: Host, address: string) => void
}>

const byIptables = (host: Host, address: string): void =>
  shell(
    host,
    `${address.includes(':') ? 'ip6tables' : 'iptables'} -I FORWARD -d ${address} -j DROP`,
  )

export const firewalls: readonly Firewall[] = [
  {
    name: 'iptables -P FORWARD DROP',
    make: (host) => shell(host, ...each('-P FORWARD DROP')),
    forbid: byIptables,
  },
  {
    name: 'as Docker: chains of its own, and the policy',
    make: (host) =>
      shell(
        host,
        ...each(
          '-N DOCKER-USER',
          '-A DOCKER-USER -j RETURN',
          '-N DOCKER-FORWARD',
          '-A DOCKER-FORWARD -i docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
          '-A FORWARD -j DOCKER-USER',
          '-A FORWARD -j DOCKER-FORWARD',
          '-P FORWARD DROP',
        ),
      ),
    forbid: byIptables,
  },
  {
    name: 'a last rule that rejects',
    make: (host) =>
      shell(
        host,
        ...each(
          '-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
          '-A FORWARD -m comment --comment "the rest" -j REJECT',
        ),
      ),
    forbid: byIptables,
  },
  {
    name: 'as ufw: a chain that rejects, and the policy',
    make: (host) =>
      shell(
        host,
        ...each(
          '-N ufw-before-forward',
          '-A ufw-before-forward -p udp --dport 9 -j DROP',
          '-N ufw-reject-forward',
          '-A ufw-reject-forward -j REJECT',
          '-A FORWARD -j ufw-before-forward',
          '-A FORWARD -j ufw-reject-forward',
          '-P FORWARD DROP',
        ),
      ),
    forbid: byIptables,
  },
  {
    name: 'firewalld',
    make: (host) => {
      const done = host.netns.exec(['nft', '-f', '-'], { input: firewalld })
      if (done.code !== 0) throw new Error(`Cannot make firewalld's table: ${done.stderr}`)
    },
    forbid: (host, address) =>
      shell(
        host,
        'nft insert rule inet firewalld filter_FORWARD ' +
          `${address.includes(':') ? 'ip6' : 'ip'} daddr ${address} drop`,
      ),
  },
]

/** Every rule of the host as its owner lists them, without counters. */
export const listed = (host: Host): string =>
  [
    ['nft', '-s', 'list', 'ruleset'],
    ...tables.map((program) => [`${program}-save`, '-t', 'filter']),
  ]
    .map((argv) => host.netns.exec(argv))
    .map(({ stdout, stderr }) => stdout + stderr)
    .join('\n')
    .split('\n')
    .filter((line) => !/^# (Generated|Completed)|^#? ?Warning: table/.test(line))
    .join('\n')
    .replace(/\[\d+:\d+\]/g, '')

/** What the programs say that can no longer read their table. */
export const complaints = (host: Host): readonly string[] =>
  tables.flatMap((program) =>
    [[program, '-S'], [`${program}-save`]].flatMap((argv) => {
      const { stdout, stderr } = host.netns.exec(argv)
      return /incompatible|unknown|error/i.test(stdout + stderr)
        ? [`${argv}: ${stdout}${stderr}`]
        : []
    }),
  )
