import t from 'tap'
import { readCommandLine, UsageRefusal } from './machine/command-line.ts'

for (const row of [
  { why: 'nothing is said', words: [], want: { kind: 'help' } },
  {
    why: 'up has defaults',
    words: ['up'],
    want: { kind: 'up', proxyMode: 'nftables', network: 'tulle', images: [] },
  },
  {
    why: 'up is told all',
    words: ['up', '--proxy', 'iptables', '--network=none', '--image', 'a.tar', '--image', 'b.tar'],
    want: { kind: 'up', proxyMode: 'iptables', network: 'none', images: ['a.tar', 'b.tar'] },
  },
  {
    why: 'words for kubectl are not ours, flags neither',
    words: ['kubectl', 'get', 'pods', '-A'],
    want: { kind: 'kubectl', words: ['get', 'pods', '-A'] },
  },
  {
    why: 'a command on a node',
    words: ['shell', 'w1', 'ip', 'route'],
    want: { kind: 'shell', name: 'w1', words: ['ip', 'route'] },
  },
]) {
  t.test(`scripts/cluster: ${row.why}`, async (test) => {
    test.same(readCommandLine(row.words), row.want)
  })
}

for (const row of [
  { why: 'an unknown command', words: ['start'], want: /no command "start"/ },
  { why: 'an unknown mode', words: ['up', '--proxy', 'ipvs'], want: /nftables or iptables/ },
  { why: 'an unknown network', words: ['up', '--network', 'x'], want: /tulle or none/ },
  { why: 'an unknown flag', words: ['up', '--nodes', '5'], want: /--nodes/ },
  { why: 'words that down does not take', words: ['down', 'now'], want: /takes no words: now/ },
  { why: 'no node', words: ['shell'], want: /Say which node/ },
  { why: 'no program', words: ['run'], want: /Say which program/ },
]) {
  t.test(`scripts/cluster refuses ${row.why}, in words`, async (test) => {
    test.throws(() => readCommandLine(row.words), { message: row.want })
    test.throws(() => readCommandLine(row.words), UsageRefusal)
  })
}
