import type { Host } from './host.ts'
import { leases } from './leases.ts'
import { type Netns, run } from './netns.ts'

/** Everything that an attachment can leave in a namespace, one line each. */
export function picture(netns: Netns): readonly string[] {
  const neighbours = 'neigh show nud permanent'
  const script = ['link show', 'addr show', 'route show table all', neighbours, 'rule show']
  const ip = run(['ip', '-n', netns.name, '-o', '-batch', '-'], { input: `${script.join('\n')}\n` })
  const nft = netns.exec(['nft', 'list', 'ruleset']).stdout
  const tc = netns.exec(['tc', 'qdisc', 'show']).stdout
  return `${ip.stdout}\n${nft}\n${tc}`
    .split('\n')
    .map(tidy)
    .filter((line) => line !== '')
}

/**
 * Link-local addresses and the table `local` follow from addresses that are shown too, some time
 * later; so do carrier and operational state.
 */
function tidy(line: string): string {
  if (/fe80::|^multicast|table local/.test(line)) return ''
  const late =
    /,(LOWER_UP|NO-CARRIER|M-DOWN)|NO-CARRIER,| state \w+| linkdown| tentative| refcnt \d+/g
  return line.replace(late, '').trim()
}

/** What `after` has and `before` had not, and the other way round. */
export function difference(before: readonly string[], after: readonly string[]): readonly string[] {
  const gone = before.filter((line) => !after.includes(line)).map((line) => `- ${line}`)
  const come = after.filter((line) => !before.includes(line)).map((line) => `+ ${line}`)
  return [...gone, ...come]
}

/** Remembers a host and its pods, and says later what is not as it was. */
export function watchResidue(host: Host, pods: readonly Netns[]): () => readonly string[] {
  const places = [host.netns, ...pods]
  const before = places.map(picture)
  const leasesBefore = leases(host.dataDir)
  return () => {
    const still = places.filter((netns) => netns.exists())
    const found = still.flatMap((netns) => {
      const was = before[places.indexOf(netns)] ?? []
      return difference(was, picture(netns)).map((line) => `${netns.name} ${line}`)
    })
    const held = difference(leasesBefore, leases(host.dataDir)).map((line) => `lease ${line}`)
    return [...found, ...held]
  }
}
