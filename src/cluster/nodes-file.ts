import { type Address, parseAddress } from '../base/address.ts'
import { isNetwork, type Prefix, parsePrefix } from '../base/prefix.ts'
import { isObject, type JsonObject, listOf, shown } from './json-value.ts'
import { type ClusterNode, type RouteMode, routeModes } from './node.ts'
import { isNodeName } from './node-name.ts'

/** One thing that is wrong in a file: where, what stands there, what may stand there. */
export type FileProblem = {
  /** "nodes[2].podCIDRs[0]" */
  readonly path: string
  readonly found: string
  readonly accepted: string
}

export type NodesFile =
  | { readonly kind: 'nodes'; readonly nodes: readonly ClusterNode[] }
  | { readonly kind: 'wrong'; readonly problems: readonly FileProblem[] }

/** What is wrong in a file of 5,000 nodes is told by its first few places. */
const problemsMax = 20
const keys = ['name', 'address', 'addresses', 'podCIDRs', 'mode']

/**
 * Reads `nodes: [{ name, address | addresses, podCIDRs, mode }]`, the value of a nodes file or of
 * the plugin's `overlay`. All or nothing: half a file would make a peer vanish because of a slip in
 * another one's line. Without `nodes` is not the same as `nodes: []`.
 */
export function parseNodesFile(value: unknown): NodesFile {
  const problems: FileProblem[] = []
  const wrong = (path: string, found: unknown, accepted: string): undefined => {
    problems.push({ path, found: found === undefined ? 'absent' : shown(found), accepted })
  }
  const list = isObject(value) ? value.nodes : undefined
  if (!isObject(value)) wrong('the file', value, 'an object with the key "nodes"')
  else if (!Array.isArray(list)) wrong('nodes', list, 'a list of nodes; [] for none')
  const nodes = listOf(list).flatMap(
    (item, index) => readNode(item, `nodes[${index}]`, wrong) ?? [],
  )
  refuseTwins(nodes, problems, wrong)
  if (problems.length > 0) return { kind: 'wrong', problems: problems.slice(0, problemsMax) }
  return { kind: 'nodes', nodes }
}

/** "nodes[2].podCIDRs[0] is \"10.1.2.0\"; accepted: a prefix as in \"10.244.1.0/24\"" */
export const explainFileProblem = ({ path, found, accepted }: FileProblem): string =>
  `${path} is ${found}; accepted: ${accepted}`

type Wrong = (path: string, found: unknown, accepted: string) => undefined

function readNode(item: unknown, path: string, wrong: Wrong): ClusterNode | undefined {
  if (!isObject(item)) return wrong(path, item, 'an object with name, address and podCIDRs')
  for (const key of Object.keys(item))
    if (!keys.includes(key)) wrong(`${path}.${shownKey(key)}`, item[key], keys.join(', '))
  const name = readName(item.name, `${path}.name`, wrong)
  const addresses = readAddresses(item, path, wrong)
  const podCIDRs = readList(item.podCIDRs, `${path}.podCIDRs`, wrong, readPrefix)
  const mode = readMode(item.mode, `${path}.mode`, wrong)
  return { name, addresses, podCIDRs, ...(mode === undefined ? {} : { mode }) }
}

const shownKey = (key: string): string => (/^\w{1,40}$/.test(key) ? key : shown(key))

function readName(value: unknown, path: string, wrong: Wrong): string {
  if (typeof value === 'string' && isNodeName(value)) return value
  wrong(path, value, 'a name of lower-case letters, digits, "-" and "."')
  return ''
}

function readAddresses(item: JsonObject, path: string, wrong: Wrong): readonly Address[] {
  const { address, addresses } = item
  if (address !== undefined && addresses !== undefined)
    wrong(`${path}.addresses`, addresses, 'either address or addresses')
  if (address === undefined) return readList(addresses, `${path}.addresses`, wrong, readAddress)
  const read = readAddress(address, `${path}.address`, wrong)
  return read === undefined ? [] : [read]
}

function readList<Value>(
  value: unknown,
  path: string,
  wrong: Wrong,
  read: (item: unknown, path: string, wrong: Wrong) => Value | undefined,
): readonly Value[] {
  if (!Array.isArray(value) || value.length === 0) wrong(path, value, 'a list of one or more')
  return listOf(value).flatMap((item, index) => read(item, `${path}[${index}]`, wrong) ?? [])
}

function readAddress(value: unknown, path: string, wrong: Wrong): Address | undefined {
  const address = typeof value === 'string' ? parseAddress(value) : undefined
  return address ?? wrong(path, value, 'an address as in "192.168.1.11" or "fd00::11"')
}

/** A slip in a prefix is better shown than mended: host bits are refused. */
function readPrefix(value: unknown, path: string, wrong: Wrong): Prefix | undefined {
  const prefix = typeof value === 'string' ? parsePrefix(value) : undefined
  if (prefix === undefined) return wrong(path, value, 'a prefix as in "10.244.1.0/24"')
  if (isNetwork(prefix)) return prefix
  return wrong(path, value, 'a prefix without bits beyond its length')
}

function readMode(value: unknown, path: string, wrong: Wrong): RouteMode | undefined {
  if (value === undefined) return undefined
  return routeModes.find((mode) => mode === value) ?? wrong(path, value, routeModes.join(', '))
}

function refuseTwins(
  nodes: readonly ClusterNode[],
  problems: readonly FileProblem[],
  wrong: Wrong,
): void {
  if (problems.length > 0) return
  const seen = new Map<string, number>()
  for (const [index, { name }] of nodes.entries()) {
    const first = seen.get(name)
    if (first !== undefined)
      wrong(`nodes[${index}].name`, name, `another name than nodes[${first}]`)
    else seen.set(name, index)
  }
}
