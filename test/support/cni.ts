import { executablePath } from './launcher-file.ts'
import { type Netns, type Ran, type RunOptions, run, runLater } from './netns.ts'
import { beginCall, executableOf } from './warmth.ts'

/** The packaged executable under test. */
export const executable = executablePath

export const versions = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const

export type Verb = 'ADD' | 'DEL' | 'CHECK' | 'STATUS' | 'GC' | 'VERSION'
export type Json = { readonly [key: string]: unknown }

export type Call = {
  readonly verb: Verb
  readonly conf: Json | string | Uint8Array
  /** Namespace in which the plugin runs: the "host" of this call. */
  readonly node: Netns
  readonly container?: string
  readonly netns?: string
  readonly ifname?: string
  readonly args?: string
  readonly path?: string
  /** Words put before the executable, e.g. strace and its options. */
  readonly wrapper?: readonly string[]
  readonly plugin?: string
  readonly env?: Readonly<Record<string, string>>
}

type Started = Readonly<{ argv: readonly string[]; options: RunOptions; end: () => void }>

/** A call as a runtime makes it, with an environment of nothing but CNI_*. */
function started(request: Call): Started {
  const env: Record<string, string> = { CNI_COMMAND: request.verb, ...request.env }
  if (request.container !== undefined) env.CNI_CONTAINERID = request.container
  if (request.netns !== undefined) env.CNI_NETNS = request.netns
  if (request.ifname !== undefined) env.CNI_IFNAME = request.ifname
  if (request.args !== undefined) env.CNI_ARGS = request.args
  if (request.path !== undefined) env.CNI_PATH = request.path
  const { conf } = request
  const isText = typeof conf === 'string' || conf instanceof Uint8Array
  const input = isText ? conf : JSON.stringify(conf)
  const { node, wrapper = [], plugin = executableOf(node) } = request
  const { words, end } = beginCall({ node, plugin, wrapper })
  return {
    argv: ['/usr/bin/nsenter', `--net=${node.path}`, ...words],
    options: { input, env },
    end,
  }
}

/** One CNI call, from start to exit. */
export function call(request: Call): Ran {
  const { argv, options, end } = started(request)
  try {
    return run(argv, options)
  } finally {
    end()
  }
}

/** One CNI call among others at the same time. */
export function callLater(request: Call): Promise<Ran> {
  const { argv, options, end } = started(request)
  return runLater(argv, options).finally(end)
}
