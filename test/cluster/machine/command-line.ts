import { parseArgs } from 'node:util'
import { type ProxyMode, proxyModes } from './node-configuration.ts'

/** Asked wrongly, or at the wrong time: the message is for the person who did. */
export class UsageRefusal extends Error {
  override name = 'UsageRefusal'
}

export type UpRequest = Readonly<{
  kind: 'up'
  proxyMode: ProxyMode
  /** `tulle`: conf/tulle.yaml with the image of dist/tulle; `none`: nodes stay "not ready". */
  network: 'tulle' | 'none'
  images: readonly string[]
}>

export type Request =
  | UpRequest
  | { readonly kind: 'help' | 'down' | 'status' }
  | { readonly kind: 'kubectl' | 'run'; readonly words: readonly string[] }
  | { readonly kind: 'shell'; readonly name: string; readonly words: readonly string[] }

export const usage = `A real Kubernetes on this machine; of its three nodes, w3 is behind a router

Usage: scripts/cluster COMMAND

Commands:
  up [--proxy nftables|iptables] [--network tulle|none] [--image TAR]…
                          builds what is missing, starts it all, installs Tulle (or nothing)
  down                    takes everything away, also what a broken start left
  status                  what runs, for how long, with how much memory
  kubectl WORDS…          kubectl as administrator
  run PROGRAM WORDS…      a program of this machine in the API server's network, KUBECONFIG set
  shell NODE [WORDS…]     a shell, or one command, on cp, w1, w2 or w3

Environment:
  TULLE_CLUSTER_NAME      another cluster beside it, in /var/lib/NAME (default: tulle-cluster)
  TULLE_CLUSTER_TOOLS     a folder with bin/ and images/ to use as they are; nothing is built
`

/** Throws UsageRefusal with what is wrong. */
export function readCommandLine([command, ...words]: readonly string[]): Request {
  switch (command) {
    case undefined:
    case 'help':
    case '--help':
    case '-h':
      return { kind: 'help' }
    case 'up':
      return readUp(words)
    case 'down':
    case 'status':
      if (words.length > 0) throw new UsageRefusal(`"${command}" takes no words: ${words[0]}`)
      return { kind: command }
    case 'kubectl':
      return { kind: command, words }
    case 'run':
      if (words.length === 0) throw new UsageRefusal('Say which program: scripts/cluster run …')
      return { kind: command, words }
    case 'shell': {
      const [name, ...rest] = words
      if (name === undefined) throw new UsageRefusal('Say which node: scripts/cluster shell w1')
      return { kind: command, name, words: rest }
    }
    default:
      throw new UsageRefusal(`There is no command "${command}"; see "scripts/cluster help"`)
  }
}

function readUp(words: readonly string[]): UpRequest {
  const { proxy, network, image = [] } = parseUp(words)
  const proxyMode = proxyModes.find((mode) => mode === proxy)
  if (!proxyMode) throw new UsageRefusal(`--proxy is ${proxyModes.join(' or ')}, not "${proxy}"`)
  if (network !== 'tulle' && network !== 'none') {
    throw new UsageRefusal(`--network is tulle or none, not "${network}"`)
  }
  return { kind: 'up', proxyMode, network, images: image }
}

function parseUp(words: readonly string[]) {
  try {
    const options = {
      proxy: { type: 'string', default: 'nftables' },
      network: { type: 'string', default: 'tulle' },
      image: { type: 'string', multiple: true },
    } as const
    return parseArgs({ args: [...words], options, allowPositionals: false }).values
  } catch (cause) {
    throw new UsageRefusal(`${(cause as Error).message}; see "scripts/cluster help"`, { cause })
  }
}
