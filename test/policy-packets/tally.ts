import type { Netns } from '../support/netns.ts'

export type Tallied = Readonly<{ entered: number; passed: number }>

// What begins something, by its own bytes; conntrack is not asked.
const firsts = [
  'tcp flags & (syn | ack) == syn',
  'ct direction original meta l4proto udp',
  'meta l4proto sctp @th,96,8 1', // INIT
  'icmp type echo-request',
  'icmpv6 type echo-request',
]

const ruleset = `
table inet tally {
  counter entered { }
  counter passed { }
  chain enter {
    type filter hook prerouting priority -150; policy accept;
${firsts.map((first) => `    iifname "p*" ${first} counter name entered`).join('\n')}
  }
  chain leave {
    type filter hook postrouting priority 900; policy accept;
${firsts.map((first) => `    oifname "p*" ${first} counter name passed`).join('\n')}
  }
}
`

/** How long a packet may be on its way through one kernel. */
const limitMilliseconds = 5000

/** Counts first packets as they come out of pods and as they leave towards pods, by nft. */
export class Tally {
  readonly #node: Netns

  constructor(node: Netns) {
    this.#node = node
    const done = node.exec(['/usr/sbin/nft', '-f', '-'], { input: ruleset })
    if (done.code !== 0) throw new Error(`Cannot count: ${done.stderr}`)
  }

  read(): Tallied {
    const { stdout } = this.#node.exec([
      '/usr/sbin/nft',
      'list',
      'counters',
      'table',
      'inet',
      'tally',
    ])
    const [entered = Number.NaN, passed = Number.NaN] = [...stdout.matchAll(/packets (\d+)/g)].map(
      ([, packets]) => Number(packets),
    )
    return { entered, passed }
  }

  until(isEnough: (now: Tallied) => boolean): Tallied {
    const end = performance.now() + limitMilliseconds
    for (;;) {
      const now = this.read()
      if (isEnough(now)) return this.read()
      if (performance.now() > end) throw new Error(`Packets got lost: ${JSON.stringify(now)}`)
    }
  }
}
