import { code, fault } from './fault.ts'

export type Verb = 'ADD' | 'DEL' | 'CHECK' | 'STATUS' | 'GC' | 'VERSION'

/** The call as its environment tells it; what a verb has no use for is the empty string. */
export type Environment = {
  readonly verb: Verb
  readonly container: string
  readonly netns: string
  readonly ifname: string
  /** Folders of CNI_PATH. */
  readonly path: readonly string[]
  readonly args: Args
  /** CNI_NETNS_OVERRIDE: the pod's namespace may be the plugin's own. */
  readonly mayShareNetns: boolean
}

/** CNI_ARGS by key; keys are case-sensitive. */
export type Args = ReadonlyMap<string, string>

export type Variables = Readonly<Record<string, string | undefined>>

const neededBy: Readonly<Record<Verb, readonly string[]>> = {
  ADD: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'],
  CHECK: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'],
  DEL: ['CNI_CONTAINERID', 'CNI_IFNAME'],
  GC: [],
  STATUS: [],
  VERSION: [],
}

const isVerb = (text: string): text is Verb => Object.hasOwn(neededBy, text)

/**
 * Specification 1.1 section 2, "Parameters", in the order in which libcni's skeleton refuses.
 * CNI_PATH is not asked for here: only a delegate needs it.
 */
export function parseEnvironment(variables: Variables): Environment {
  const verb = variables.CNI_COMMAND ?? ''
  if (verb === '') throw missing(['CNI_COMMAND'])
  if (!isVerb(verb))
    throw fault(
      code.invalidEnvironment,
      `unknown CNI_COMMAND: ${verb}`,
      `CNI_COMMAND must be one of ${Object.keys(neededBy).join(', ')}, in capitals`,
    )
  const container = variables.CNI_CONTAINERID ?? ''
  const ifname = variables.CNI_IFNAME ?? ''
  if (neededBy[verb].includes('CNI_CONTAINERID')) {
    if (container !== '') refuseContainer(container)
    if (ifname !== '') refuseIfname(ifname)
  }
  const absent = neededBy[verb].filter((name) => !variables[name])
  if (absent.length > 0) throw missing(absent)
  const needsArgs = verb === 'ADD' || verb === 'DEL' || verb === 'CHECK'
  return {
    verb,
    container,
    ifname,
    netns: variables.CNI_NETNS ?? '',
    path: (variables.CNI_PATH ?? '').split(':').filter((folder) => folder !== ''),
    args: needsArgs ? parseArgs(variables.CNI_ARGS ?? '') : new Map(),
    mayShareNetns: /^(1|true)$/i.test(variables.CNI_NETNS_OVERRIDE ?? ''),
  }
}

const missing = (names: readonly string[]): Error =>
  fault(
    code.invalidEnvironment,
    `required env variables [${names.join(',')}] missing`,
    `set ${names.join(' and ')}; the container runtime normally does`,
  )

/**
 * First an ASCII letter or digit, then letters, digits, `_`, `.`, `-`: container ids and network
 * names alike.
 */
export const isName = (text: string): boolean => /^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(text)

function refuseContainer(container: string): void {
  if (isName(container)) return
  throw fault(
    code.invalidEnvironment,
    'invalid characters in containerID',
    `CNI_CONTAINERID is ${JSON.stringify(container)}; it must start with a letter or digit, ` +
      'then letters, digits, "_", "." or "-"',
  )
}

/** NEL is white space to Go, and so to libcni, but not to a JavaScript regular expression. */
const nextLine = '\u0085'
const ifnameBytesMax = 15 // IFNAMSIZ of linux/if.h is 16 with the NUL

function refuseIfname(ifname: string): void {
  const bytes = new TextEncoder().encode(ifname).length
  const isOdd =
    ifname === '.' || ifname === '..' || /[/:\s]/u.test(ifname) || ifname.includes(nextLine)
  if (bytes <= ifnameBytesMax && !isOdd) return
  throw fault(
    code.invalidEnvironment,
    'invalid interface name',
    `CNI_IFNAME is ${JSON.stringify(ifname)}; it must be 1 to ${ifnameBytesMax} bytes long, ` +
      'not "." or "..", without "/", ":" or white space',
  )
}

/** The keys of CNI_ARGS that Tulle reads, and those that runtimes send for people's information. */
const knownArgs = new Set([
  'IgnoreUnknown', 'IP', 'MAC', 'GATEWAY',
  'K8S_POD_NAMESPACE', 'K8S_POD_NAME', 'K8S_POD_INFRA_CONTAINER_ID', 'K8S_POD_UID',
]) // biome-ignore format: a list

function parseArgs(text: string): Args {
  if (text === '') return new Map()
  const pairs = text.split(';').map((pair) => pair.split('='))
  const odd = pairs.find((pair) => pair.length !== 2)
  if (odd)
    throw fault(
      code.invalidEnvironment,
      'invalid CNI_ARGS',
      `${JSON.stringify(odd.join('='))} in CNI_ARGS is not one KEY=VALUE; pairs are joined by ";"`,
    )
  const args = new Map(pairs.map(([key, value]) => [key ?? '', value ?? '']))
  const unknown = [...args.keys()].filter((key) => !knownArgs.has(key))
  if (unknown.length > 0 && !/^(1|true)$/i.test(args.get('IgnoreUnknown') ?? ''))
    throw fault(
      code.invalidEnvironment,
      `unknown args [${unknown.map((key) => `${key}=${args.get(key)}`).join(' ')}]`,
      'CNI_ARGS has keys that Tulle does not know; drop them or add IgnoreUnknown=1',
    )
  return args
}
