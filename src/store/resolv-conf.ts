import { readFileSync } from 'node:fs'

export type ResolvConf = {
  readonly nameservers?: readonly string[]
  readonly domain?: string
  readonly search?: readonly string[]
  readonly options?: readonly string[]
}

/**
 * The keywords of resolv.conf(5) that a CNI result carries; the last `domain` and `search` count,
 * as in the resolver.
 */
export function readResolvConf(path: string): ResolvConf {
  const nameservers: string[] = []
  const options: string[] = []
  let domain: string | undefined
  let search: string[] = []
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const [keyword, ...words] = line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/)
    if (keyword === 'nameserver' && words[0]) nameservers.push(words[0])
    if (keyword === 'domain' && words[0]) domain = words[0]
    if (keyword === 'search') search = words
    if (keyword === 'options') options.push(...words)
  }
  return {
    ...(nameservers.length > 0 ? { nameservers } : {}),
    ...(domain === undefined ? {} : { domain }),
    ...(search.length > 0 ? { search } : {}),
    ...(options.length > 0 ? { options } : {}),
  }
}
