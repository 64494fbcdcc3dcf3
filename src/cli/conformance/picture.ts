import { existsSync, readFileSync } from 'node:fs'
import { formatAddress } from '../../base/address.ts'
import { formatPrefix, type Prefix } from '../../base/prefix.ts'
import { findProgram } from '../../kernel/program.ts'
import { errno, KernelRefusal } from '../../kernel/refusal.ts'
import type { RouteSocket } from '../../kernel/route-socket.ts'
import { watchProgram } from '../../kernel/watched-program.ts'
import type { IfIndex } from '../../wire/rtnl/link.ts'
import { tableLocal } from '../../wire/rtnl/route.ts'

/** Link-local and multicast: the kernel makes and removes these itself, some time later. */
const isKernels = (text: string): boolean => /^(fe80:|ff00:)/.test(text)

/** linux/rtnetlink.h: these follow from the addresses, with IPv6 as late as the carrier comes. */
const RTPROT_KERNEL = 2

/** Links, addresses, routes and permanent neighbours of a namespace, a line each. */
export function wiringLines(socket: RouteSocket): readonly string[] {
  const links = socket.links()
  const nameOf = (index: IfIndex | undefined): string =>
    links.find((link) => link.index === index)?.name ?? 'no link'
  const addresses = links.flatMap(({ index, name }) =>
    addressesOf(socket, index).map((prefix) => ({ name, text: formatPrefix(prefix) })),
  )
  const routes = [...socket.routes(4), ...socket.routes(6)].filter(
    ({ table, protocol }) => table !== tableLocal && protocol !== RTPROT_KERNEL,
  )
  return [
    ...links.map(({ name, kind }) => `link ${name}${kind === undefined ? '' : ` (${kind})`}`),
    ...addresses
      .filter(({ text }) => !isKernels(text))
      .map(({ name, text }) => `address ${text} on ${name}`),
    ...routes
      .map(({ destination, link }) => ({ text: formatPrefix(destination), dev: nameOf(link) }))
      .filter(({ text }) => !isKernels(text))
      .map(({ text, dev }) => `route ${text} on ${dev}`),
    ...socket
      .neighbours()
      .filter(({ permanent, link }) => permanent && nameOf(link) !== 'lo')
      .map(({ address, link }) => `neighbour ${formatAddress(address)} on ${nameOf(link)}`),
  ].sort()
}

/** None of a link that has gone since it was listed. */
function addressesOf(socket: RouteSocket, index: IfIndex): readonly Prefix[] {
  try {
    return socket.addresses(index)
  } catch (refusal) {
    if (refusal instanceof KernelRefusal && refusal.errno === errno.ENODEV) return []
    throw refusal
  }
}

export const podLines = (socket: RouteSocket): readonly string[] =>
  wiringLines(socket).map((line) => `${line} in the pod`)

const programFolders = ['/usr/sbin', '/usr/bin', '/sbin', '/bin', '/usr/local/sbin']
const limitMilliseconds = 10_000

/** Packet filter rules of this thread's namespace, as the host's own programs print them. */
export const ruleLines = (): readonly string[] => [
  ...printed('nft', ['-s', 'list', 'ruleset']),
  ...(hasLegacyTables('ip') ? printed('iptables-legacy-save', []) : []),
  ...(hasLegacyTables('ip6') ? printed('ip6tables-legacy-save', []) : []),
]

export const canSeeRules = (): boolean => findProgram('nft', programFolders) !== undefined

/** Asked first, as the program itself would make the tables. */
function hasLegacyTables(family: 'ip' | 'ip6'): boolean {
  const names = `/proc/thread-self/net/${family}_tables_names`
  return existsSync(names) && readFileSync(names, 'utf8') !== ''
}

function printed(program: string, words: readonly string[]): readonly string[] {
  const file = findProgram(program, programFolders)
  if (file === undefined) return []
  const { stdout } = watchProgram(file, { words, env: {}, limitMilliseconds })
  return withPlaces(stdout.split('\n').filter((line) => !line.startsWith('#')))
}

/** Each rule with the table and chain that it stands in, so that a line tells it all. */
function withPlaces(lines: readonly string[]): readonly string[] {
  const places: string[] = []
  return lines.flatMap((line) => {
    const text = line.trim().replace(/^:(\S+ \S+) \[.*\]$/, ':$1')
    if (text === '') return []
    const said = [...places, text.replace(/ \{$/, '')].join(' ')
    if (text.endsWith('{')) places.push(text.slice(0, -2))
    if (text !== '}') return [`rule ${said}`]
    places.pop()
    return []
  })
}

/** What has come since, and what has gone. */
export function difference(before: readonly string[], after: readonly string[]): readonly string[] {
  const gone = before.filter((line) => !after.includes(line)).map((line) => `${line} is gone`)
  const come = after.filter((line) => !before.includes(line)).map((line) => `${line} is left`)
  return [...come, ...gone]
}
