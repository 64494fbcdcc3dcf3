import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { promisify } from 'node:util'

const run = promisify(execFile)

type Link = { readonly ifname: string; readonly ifalias?: string }
type NftObject = { readonly table?: { readonly family: string; readonly name: string } }

/**
 * What carries our mark in the namespace that this process runs in, and the tests' namespaces: all
 * of it is a leak, because the tests work in throw-away namespaces only.
 */
export async function tracesOf(): Promise<ReadonlySet<string>> {
  const links = JSON.parse((await run('ip', ['-j', 'link', 'show'])).stdout) as readonly Link[]
  const ruleset = JSON.parse((await run('nft', ['-j', 'list', 'tables'])).stdout) as {
    readonly nftables: readonly NftObject[]
  }
  return new Set([
    ...links.filter(isOurs).map((link) => `link ${link.ifname}`),
    ...ruleset.nftables
      .flatMap(({ table }) => (table === undefined ? [] : [`${table.family} ${table.name}`]))
      .filter((table) => table.split(' ')[1]?.startsWith('tulle'))
      .map((table) => `nftables table ${table}`),
    ...namespaces()
      .filter((name) => name.startsWith('tt-'))
      .map((name) => `network namespace ${name}`),
  ])
}

const isOurs = ({ ifname, ifalias }: Link): boolean =>
  ifname.startsWith('tul') || (ifalias?.startsWith('tulle1 ') ?? false)

/** The named namespaces; the folder appears with the first one. */
function namespaces(): readonly string[] {
  try {
    return readdirSync('/run/netns')
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw fault
  }
}
