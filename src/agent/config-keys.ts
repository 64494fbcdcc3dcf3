import { type Address, parseAddress } from '../base/address.ts'
import type { Prefix } from '../base/prefix.ts'
import { type RouteMode, routeModes } from '../cluster/node.ts'
import { isNodeName } from '../cluster/node-name.ts'
import type { GuardedPorts } from '../datapath/node-port-guard.ts'
import { defaultConfDir, defaultDataDir } from '../store/places.ts'
import { readNetworks } from './networks-key.ts'
import { nodePortGuardAccepted, readNodePortGuard } from './node-port-guard-key.ts'

// The keys of agent.yaml, which are the flags of `tulle agent` as well: "clusterCIDRs" is
// "--cluster-cidrs". One table reads both, and is the help.

export type Listen = { readonly address: Address; readonly port: number }
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

export type ConfigProblem = {
  /** The file's path, "the command line", … */
  readonly from: string
  readonly path: string
  readonly found: string
  readonly accepted: string
}

export type RawConfig = {
  readonly nodeName: string
  readonly kubeconfig: string
  readonly nodesFile: string
  readonly mode: RouteMode
  readonly vni: number
  readonly port: number
  /** 0: from the uplink. */
  readonly mtu: number
  readonly clusterCIDRs: readonly Prefix[]
  readonly ipMasq: boolean
  readonly flannelCompat: boolean
  readonly conflist: { readonly path: string | undefined }
  readonly binDir: string
  readonly warm: boolean
  readonly dataDir: string
  readonly stateDir: string
  readonly runDir: string
  readonly metrics: { readonly listen: Listen | undefined }
  readonly logLevel: LogLevel
  readonly resyncSeconds: number
  readonly patienceSeconds: number
  readonly policy: boolean
  readonly policyFiles: string
  readonly nodePortGuard: readonly GuardedPorts[]
}
export type RawKey = keyof RawConfig

/** `read` takes YAML's values and a flag's text; undefined means that it can't be. */
export type Key<Value> = {
  readonly flag: string
  /** Stands for the value in the help; a switch has none. */
  readonly placeholder?: string
  readonly text: string
  readonly accepted: string
  /** What stands there if nobody says anything. */
  readonly fallback?: string | number | boolean
  readonly read: (value: unknown) => { readonly value: Value } | undefined
}

const folder = (flag: string, text: string, fallback?: string): Key<string> => ({
  flag,
  placeholder: 'DIR',
  text,
  ...(fallback === undefined ? {} : { fallback }),
  accepted: 'an absolute path',
  read: readPath,
})

const whole = (
  flag: string,
  text: string,
  {
    fallback,
    least,
    most,
    unit,
  }: Readonly<{ [Of in 'fallback' | 'least' | 'most']: number }> & {
    readonly unit: string
  },
): Key<number> => ({
  flag,
  fallback,
  placeholder: 'NUMBER',
  text,
  accepted: `${unit}, ${least} … ${most}`,
  read: (value) => {
    const number = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value
    if (typeof number !== 'number' || !Number.isInteger(number)) return undefined
    return number >= least && number <= most ? { value: number } : undefined
  },
})

const oneOf = <Word extends string>(
  flag: string,
  text: string,
  { words, fallback }: { readonly words: readonly Word[]; readonly fallback: Word },
): Key<Word> => ({
  flag,
  fallback,
  placeholder: words.join('|'),
  text,
  accepted: words.join(', '),
  read: (value) => {
    const found = words.find((word) => word === value)
    return found === undefined ? undefined : { value: found }
  },
})

const yes = (flag: string, text: string, fallback: boolean): Key<boolean> => ({
  flag,
  fallback,
  text,
  accepted: 'true or false',
  read: (value) => (typeof value === 'boolean' ? { value } : undefined),
})

const ipv6MtuMin = 1280 // RFC 8200 section 5
const mtuBytes = whole('mtu', '', { fallback: 0, least: 0, most: 65535, unit: 'bytes' })

export const keys: { readonly [Name in RawKey]: Key<RawConfig[Name]> } = {
  nodeName: {
    flag: 'node-name',
    placeholder: 'NAME',
    text: "this node's name in the cluster (else NODE_NAME, else the host name)",
    accepted: 'a name of lower-case letters, digits, "-" and "."',
    read: (value) => (typeof value === 'string' && isNodeName(value) ? { value } : undefined),
  },
  kubeconfig: {
    ...folder('kubeconfig', 'ask the API server named there (else: the cluster it runs in)'),
    placeholder: 'FILE',
  },
  nodesFile: {
    ...folder('nodes-file', 'nodes are those of this YAML file, no Kubernetes needed'),
    placeholder: 'FILE',
  },
  mode: oneOf('mode', 'way to other nodes', { words: routeModes, fallback: 'auto' }),
  vni: whole('vni', 'VXLAN network identifier', {
    fallback: 1,
    least: 1,
    most: 2 ** 24 - 1,
    unit: 'a number',
  }),
  port: whole('port', "the tunnel's UDP port", {
    fallback: 8472,
    least: 1,
    most: 65535,
    unit: 'a UDP port',
  }),
  mtu: {
    flag: 'mtu',
    placeholder: 'BYTES',
    fallback: 0,
    text: "the tunnel's MTU (0: from the uplink)",
    accepted: '0 (from the uplink), or 1280 … 65535 bytes',
    read: (value) => {
      const read = mtuBytes.read(value)
      return read && read.value !== 0 && read.value < ipv6MtuMin ? undefined : read
    },
  },
  clusterCIDRs: {
    flag: 'cluster-cidrs',
    placeholder: 'CIDR,…',
    text: "what is never masqueraded (else: every node's podCIDRs)",
    accepted: 'prefixes without bits beyond their length, as in 10.244.0.0/16',
    read: readPrefixes,
  },
  ipMasq: yes('ip-masq', 'masquerade what pods send out of the cluster', true),
  flannelCompat: yes('flannel-compat', "read and write Flannel's annotations", false),
  conflist: {
    flag: 'conflist',
    fallback: `${defaultConfDir}/10-tulle.conflist`,
    placeholder: 'FILE',
    text: 'the network list ("": none, nothing is installed)',
    accepted: 'an absolute path that ends in .conflist, or ""',
    read: (value) => {
      if (value === '') return { value: { path: undefined } }
      const path = readPath(value)?.value
      return path?.endsWith('.conflist') ? { value: { path } } : undefined
    },
  },
  binDir: folder('bin-dir', 'where the runtime looks for plugins', '/opt/cni/bin'),
  warm: yes('warm', 'a launcher is installed, by which runtimes ask this agent', true),
  dataDir: folder('data-dir', 'of the leases', defaultDataDir),
  stateDir: folder('state-dir', 'of the last known nodes', defaultDataDir),
  runDir: folder('run-dir', 'of the socket that "tulle status" asks', '/run/tulle'),
  metrics: {
    flag: 'metrics',
    fallback: '127.0.0.1:9476',
    placeholder: 'ADDRESS:PORT',
    text: 'of /metrics, /healthz, /readyz ("": nowhere)',
    accepted: 'an address and a port as in 127.0.0.1:9476 or [::]:9476, or ""',
    read: (value) => {
      if (value === '') return { value: { listen: undefined } }
      const listen = typeof value === 'string' ? listenText(value) : undefined
      return listen && { value: { listen } }
    },
  },
  logLevel: oneOf('log-level', 'least grave line that is logged', {
    words: logLevels,
    fallback: 'info',
  }),
  resyncSeconds: whole('resync-seconds', 'everything is looked at again after so long', {
    fallback: 30,
    least: 1,
    most: 3600,
    unit: 'seconds',
  }),
  patienceSeconds: whole('patience-seconds', 'silence after which the last known nodes are used', {
    fallback: 10,
    least: 0,
    most: 3600,
    unit: 'seconds',
  }),
  policy: yes('policy', 'enforce NetworkPolicy and CiliumNetworkPolicy', true),
  policyFiles: folder(
    'policy-files',
    'with nodesFile: policies, pods and namespaces are those of DIR',
  ),
  nodePortGuard: {
    flag: 'node-port-guard',
    fallback: '',
    placeholder: 'PORTS/PROTOCOL=CIDR,…;…',
    text: "of this node's own ports, those that only these clients reach",
    accepted: nodePortGuardAccepted,
    read: readNodePortGuard,
  },
}

function readPath(value: unknown): { readonly value: string } | undefined {
  const isPath = typeof value === 'string' && value.startsWith('/') && !value.includes('\0')
  return isPath ? { value } : undefined
}

function readPrefixes(value: unknown): { readonly value: readonly Prefix[] } | undefined {
  const read = readNetworks(typeof value === 'string' ? value.split(',') : value)
  return read && { value: read }
}

/** "127.0.0.1:9476", "[::1]:9476" */
export function listenText(text: string): Listen | undefined {
  const [, six, four, digits = ''] = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? []
  const address = parseAddress(six ?? four ?? '')
  const port = Number(digits)
  const isRight = address && (address.family === 6) === (six !== undefined) && port <= 65535
  return isRight && digits !== '' ? { address, port } : undefined
}
