import type { GuardedPorts } from '../datapath/node-port-guard.ts'
import type { OverlayOptions } from '../overlay/options.ts'
import {
  type ConfigProblem,
  type Key,
  keys,
  type Listen,
  type LogLevel,
  type RawConfig,
  type RawKey,
} from './config-keys.ts'

/** Where the agent learns of nodes: one of the three. */
export type NodeSource =
  | { readonly kind: 'in-cluster' }
  | { readonly kind: 'kubeconfig'; readonly path: string }
  | { readonly kind: 'nodes-file'; readonly path: string }

/** What the agent was asked to be; every value has been looked at. */
export type AgentConfig = {
  readonly nodeName: string
  readonly source: NodeSource
  readonly overlay: OverlayOptions
  readonly flannelCompat: boolean
  readonly ipMasq: boolean
  /** Absent: none is written, and the executable is not installed. */
  readonly conflist: string | undefined
  readonly binDir: string
  /** The launcher is installed, and the executable beside it. */
  readonly warm: boolean
  /** Of the leases. */
  readonly dataDir: string
  /** Of the last known nodes. */
  readonly stateDir: string
  readonly runDir: string
  /** Absent: no TCP socket at all. */
  readonly metrics: Listen | undefined
  readonly logLevel: LogLevel
  readonly resyncSeconds: number
  /** How long a silent source is waited for before the last known nodes are used. */
  readonly patienceSeconds: number
  /** Absent: none are enforced, and new pods are not closed before their first packet. */
  readonly policy: PolicyConfig | undefined
}

export type PolicyConfig = {
  /** A folder of manifests in the place of the API's objects. */
  readonly files: string | undefined
  readonly nodePortGuard: readonly GuardedPorts[]
}

/** What the world says of a node's name when nobody else does. */
export type Surroundings = {
  /** NODE_NAME of the environment: the downward API's usual word. */
  readonly nodeNameVariable: string | undefined
  readonly hostname: string
}

export type ReadConfig =
  | { readonly kind: 'config'; readonly config: AgentConfig }
  | { readonly kind: 'wrong'; readonly problems: readonly ConfigProblem[] }

/** "/etc/tulle/agent.yaml: port is 70000; accepted: a UDP port, 1 … 65535" */
export const explainConfigProblem = ({ from, path, found, accepted }: ConfigProblem): string =>
  `${from}: ${path} is ${found}; accepted: ${accepted}`

export type ConfigSource = {
  /** The file's path, or "the command line": for messages. */
  readonly from: string
  /** What the file holds, or the flags by their keys. */
  readonly values: unknown
}

/** The last source has the last word on each key. All that is wrong is told, not its first. */
export function readConfig(
  sources: readonly ConfigSource[],
  surroundings: Surroundings,
): ReadConfig {
  const problems: ConfigProblem[] = []
  const fallbacks = { from: 'the defaults', values: fallbackValues() }
  const raw = Object.assign(
    {},
    ...[fallbacks, ...sources].map((source) => readSource(source, problems)),
  ) as Raw
  const config = configOf(raw, surroundings, problems)
  if (problems.length > 0 || !config) return { kind: 'wrong', problems }
  return { kind: 'config', config }
}

const fallbackValues = (): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(keys).flatMap(([name, { fallback }]) =>
      fallback === undefined ? [] : [[name, fallback]],
    ),
  )

/** What has no fallback may be absent. */
type Raw = Omit<RawConfig, WithoutFallback> & Partial<Pick<RawConfig, WithoutFallback>>
type WithoutFallback = 'nodeName' | 'kubeconfig' | 'nodesFile' | 'clusterCIDRs' | 'policyFiles'

function readSource({ from, values }: ConfigSource, problems: ConfigProblem[]): Partial<RawConfig> {
  if (values === undefined || values === null) return {}
  if (typeof values !== 'object' || Array.isArray(values)) {
    const found = Array.isArray(values) ? 'a list' : JSON.stringify(values)
    problems.push({ from, path: 'the whole', found, accepted: 'keys with values, as in "vni: 1"' })
    return {}
  }
  const read: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(values)) {
    const key: Key<unknown> | undefined = Object.hasOwn(keys, name)
      ? keys[name as RawKey]
      : undefined
    const wrong = (found: string, accepted: string) =>
      problems.push({ from, path: name, found, accepted })
    if (!key) wrong('no key of the agent', Object.keys(keys).join(', '))
    else {
      const known = key.read(value)
      if (known === undefined) wrong(shown(value), key.accepted)
      else read[name] = known.value
    }
  }
  return read as Partial<RawConfig>
}

const shownCharactersMax = 80

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > shownCharactersMax ? `${text.slice(0, shownCharactersMax)}…` : text
}

function configOf(
  raw: Raw,
  { nodeNameVariable, hostname }: Surroundings,
  problems: ConfigProblem[],
): AgentConfig | undefined {
  const source = sourceOf(raw, problems)
  const guessed = nodeNameVariable || hostname.toLowerCase()
  const name = keys.nodeName.read(raw.nodeName ?? guessed)?.value
  if (name === undefined) {
    const from = nodeNameVariable ? 'NODE_NAME of the environment' : "the machine's host name"
    problems.push({
      from,
      path: 'nodeName',
      found: shown(guessed),
      accepted: keys.nodeName.accepted,
    })
    return undefined
  }
  return {
    nodeName: name,
    source,
    overlay: overlayOf(raw),
    flannelCompat: raw.flannelCompat,
    ipMasq: raw.ipMasq,
    conflist: raw.conflist.path,
    binDir: raw.binDir,
    warm: raw.warm,
    dataDir: raw.dataDir,
    stateDir: raw.stateDir,
    runDir: raw.runDir,
    metrics: raw.metrics.listen,
    logLevel: raw.logLevel,
    resyncSeconds: raw.resyncSeconds,
    patienceSeconds: raw.patienceSeconds,
    policy: policyOf(raw, source, problems),
  }
}

function sourceOf({ kubeconfig, nodesFile }: Raw, problems: ConfigProblem[]): NodeSource {
  if (kubeconfig !== undefined && nodesFile !== undefined)
    problems.push({
      from: 'all taken together',
      path: 'nodesFile',
      found: shown(nodesFile),
      accepted: 'either nodesFile or kubeconfig; neither of them means the cluster it runs in',
    })
  if (nodesFile !== undefined) return { kind: 'nodes-file', path: nodesFile }
  if (kubeconfig !== undefined) return { kind: 'kubeconfig', path: kubeconfig }
  return { kind: 'in-cluster' }
}

/** Nodes of a file have policies of files or none; where there can be none, nothing is enforced. */
function policyOf(
  { policy, policyFiles: files, nodePortGuard }: Raw,
  { kind }: NodeSource,
  problems: ConfigProblem[],
): PolicyConfig | undefined {
  if (files !== undefined && kind !== 'nodes-file')
    problems.push({
      from: 'all taken together',
      path: 'policyFiles',
      found: shown(files),
      accepted: 'policyFiles beside nodesFile; else the policies are those of the Kubernetes API',
    })
  if (!policy && nodePortGuard.length > 0)
    problems.push({
      from: 'all taken together',
      path: 'nodePortGuard',
      found: `given, and policy is false`,
      accepted: 'nodePortGuard beside policy: true',
    })
  const hasPolicies = kind !== 'nodes-file' || files !== undefined || nodePortGuard.length > 0
  return policy && hasPolicies ? { files, nodePortGuard } : undefined
}

const overlayOf = ({ mode, vni, port, mtu, clusterCIDRs }: Raw): OverlayOptions => ({
  mode,
  vni,
  port,
  ...(mtu === 0 ? {} : { mtuBytes: mtu }),
  ...(clusterCIDRs === undefined ? {} : { clusterCIDRs }),
})
