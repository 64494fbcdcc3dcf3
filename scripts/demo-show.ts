import { styleText } from 'node:util'
import type { Json } from '../test/support/cni.ts'
import { isSoundCluster, type PodPing, type ShownCluster } from './demo-cluster.ts'

export type ShownCall = Readonly<{
  verb: string
  /** What the runtime says beside CNI_COMMAND and the network's configuration. */
  words: Json
  ms: number
  code: number
  output: Json
  /** What the plugin wrote on stderr. */
  notes: string
}>
/** Without `ms` no answer came. */
export type Ping = Readonly<{ from: string; to: string; family: 'IPv4' | 'IPv6'; ms?: number }>
export type ShownNetwork = Readonly<{
  file: string
  calls: readonly ShownCall[]
  pings: readonly Ping[]
  left: readonly string[]
  failed?: string
}>

const print = (line = ''): void => void process.stdout.write(`${line}\n`)
const good = (text: string): string => styleText('green', text)
const bad = (text: string): string => styleText('red', text)
const faint = (text: string): string => styleText('dim', text)

/** Prints as things happen. Colour only where there is a terminal: styleText looks for one. */
export const forPeople = {
  title(version: string): void {
    print(styleText('bold', version))
    print('Two pods on a node, wired by CNI calls. Node, pods and the world outside are network')
    print('namespaces made for this; nothing of the machine itself is touched.')
  },

  network(file: string, node: string): void {
    print(styleText('bold', `\n── ${file} ${'─'.repeat(Math.max(0, 72 - file.length))}`))
    print(faint(`   the node is ${node}`))
  },

  call({ verb, words, ms, code, output, notes }: ShownCall): void {
    const said = Object.entries({ CNI_COMMAND: verb, ...words }).map(([key, value]) => {
      return `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`
    })
    const mark = code === 0 ? good('✓') : bad(`✗ exit ${code}`)
    print(`\n${mark} ${styleText('bold', verb)} ${ms.toFixed(0)} ms  ${faint(said.join(' '))}`)
    if (Object.keys(output).length > 0) print(indent(compact(output)))
    if (notes !== '') print(faint(indent(notes)))
  },

  pings(pings: readonly Ping[]): void {
    print(`\n${pingTable(pings).join('\n')}`)
  },

  left(left: readonly string[]): void {
    print()
    if (left.length > 0) {
      print(bad('✗ left behind:'))
      for (const line of left) print(indent(line))
      return
    }
    const looked = 'links, addresses, routes, neighbours, rules, nftables, leases as before'
    print(`${good('✓')} nothing is left: ${looked}`)
  },

  clusterBegins(): void {
    print(styleText('bold', `\n── three nodes, two pods each ${'─'.repeat(46)}`))
  },

  tell(line: string): void {
    print(faint(`   ${line}`))
  },

  cluster({ pods, pings, healed, afterAgents, failed }: ShownCluster): void {
    if (failed !== undefined) {
      print(bad(`✗ ${failed}`))
      return
    }
    print()
    for (const line of matrix(pods, pings)) print(line)
    print(faint('  ms over IPv4 / IPv6; 1: on one node, D: direct route, V: VXLAN'))
    print()
    for (const { what, ms } of healed)
      print(`${good('✓')} taken away: ${what}; back after ${ms.toFixed(0)} ms`)
    print(`${good('✓')} with the agents stopped, ${afterAgents} pings are still answered`)
  },

  verdict(networks: readonly ShownNetwork[], cluster: ShownCluster, ok: boolean): void {
    print(styleText('bold', `\n── in short ${'─'.repeat(64)}`))
    for (const { file, calls, pings, left, failed } of networks) {
      const times = calls.map(({ verb, ms }) => `${verb} ${ms.toFixed(0)}`).join(', ')
      const answered = pings.filter(({ ms }) => ms !== undefined).length
      print(`${file}: ${answered} of ${pings.length} pings answered, ${left.length} things left`)
      print(faint(`  ms: ${times}`))
      if (failed !== undefined) print(bad(`  ${failed}`))
    }
    const answered = cluster.pings.filter(({ ms }) => ms !== undefined).length
    const slowest = Math.max(...cluster.healed.map(({ ms }) => ms))
    const healing = `slowest repair ${slowest.toFixed(0)} ms`
    print(`three nodes: ${answered} of ${cluster.pings.length} pings answered, ${healing}`)
    if (!isSoundCluster(cluster)) print(bad(`  ${cluster.failed ?? 'not all as it should be'}`))
    print(ok ? good('✓ all is well') : bad('✗ something failed'))
  },
}

/** For --json: the document at the end says it all. */
export const silent: typeof forPeople = {
  title() {},
  network() {},
  call() {},
  pings() {},
  left() {},
  clusterBegins() {},
  tell() {},
  cluster() {},
  verdict() {},
}

/** Who reaches whom: a row a sender, a column a receiver. */
function matrix(pods: readonly string[], pings: readonly PodPing[]): readonly string[] {
  const width = 15
  const head = (''.padEnd(13) + pods.map((name) => name.padEnd(width)).join('')).trimEnd()
  const rows = pods.map((from) => {
    const cells = pods.map((to) => {
      const both = pings.filter((ping) => ping.from === from && ping.to === to)
      return from === to ? '·'.padEnd(width) : matrixCell(both, width)
    })
    return `  ${from.padEnd(13)}${cells.join('')}`.trimEnd()
  })
  return [styleText('bold', `  ${head}`), ...rows]
}

const wayLetters: Readonly<Record<string, string>> = { 'one node': '1', direct: 'D', vxlan: 'V' }

function matrixCell(both: readonly PodPing[], width: number): string {
  const letter = wayLetters[both[0]?.way ?? ''] ?? '?'
  const times = both.map(({ ms }) => (ms === undefined ? '✗' : ms.toFixed(2)))
  const text = `${letter} ${times.join('/')}`.padEnd(width)
  return both.every(({ ms }) => ms !== undefined) ? good(text) : bad(text)
}

function pingTable(pings: readonly Ping[]): readonly string[] {
  const head = `${'from'.padEnd(12)}${'to'.padEnd(24)}${'IPv4'.padEnd(14)}IPv6`
  const ways = Map.groupBy(pings, ({ from, to }) => `${from.padEnd(12)}${to.padEnd(24)}`)
  const rows = [...ways].map(([way, both]) => way + both.map(pingCell).join('').trimEnd())
  return [styleText('bold', `  ${head}`), ...rows.map((row) => `  ${row}`)]
}

function pingCell({ ms }: Ping): string {
  const text = ms === undefined ? 'no answer' : `${ms} ms`
  return `${ms === undefined ? bad('✗') : good('✓')} ${text.padEnd(12)}`
}

/** JSON with every object and list that fits on one line, as a person would write it. */
function compact(value: unknown, columns = 96): string {
  const flat = JSON.stringify(value, undefined, 1).replace(/\n */g, ' ')
  if (flat.length <= columns || typeof value !== 'object' || value === null) return flat
  if (Array.isArray(value)) {
    return `[\n${value.map((one) => indent(compact(one, columns - 2))).join(',\n')}\n]`
  }
  const entries = Object.entries(value).map(([key, one]) => {
    return indent(`${JSON.stringify(key)}: ${compact(one, columns - key.length - 6)}`)
  })
  return `{\n${entries.join(',\n')}\n}`
}

const indent = (text: string): string => text.replace(/^/gm, '  ')
