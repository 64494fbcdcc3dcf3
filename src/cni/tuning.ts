import { encodeText } from '../base/bytes.ts'
import { formatMac, parseMac } from '../base/mac.ts'
import { describe } from './config.ts'
import type { Environment } from './environment.ts'
import { code, fault } from './fault.ts'
import { repeatedKeys } from './json-keys.ts'
import type { NetworkConfig } from './network-config.ts'

/** Keys of the reference plugin `tuning`; `args.cni` may have the same. */
export type TuningConfig = {
  readonly sysctl?: Readonly<Record<string, unknown>>
  readonly mac?: string
  /** Bytes; 0 is none. */
  readonly mtu?: number
  readonly promisc?: boolean
  readonly allmulti?: boolean
  /** Packets. */
  readonly txQLen?: number
}

export type AskedSysctl = {
  /** As the configuration writes it. */
  readonly key: string
  /** Under /proc/sys. */
  readonly path: string
  readonly value: string
}

/** What a configuration asks to be set; what it leaves alone is undefined. */
export type AskedTuning = {
  readonly sysctls: readonly AskedSysctl[]
  readonly mac: string | undefined
  readonly mtuBytes: number | undefined
  readonly promisc: boolean | undefined
  readonly allmulti: boolean | undefined
  readonly txQueueLength: number | undefined
}

export type TuningSource = {
  readonly config: NetworkConfig
  readonly environment: Pick<Environment, 'args' | 'ifname'>
  /** The configuration's text. */
  readonly input: string
}

/**
 * As the reference plugin reads them: args.cni over runtimeConfig over CNI_ARGS over the
 * configuration. `promisc` false, `mtu` 0 and an empty `mac` ask for nothing there, `allmulti`
 * false for its being off.
 */
export function readTuning(source: TuningSource): AskedTuning {
  const { config } = source
  const args = config.args?.cni ?? {}
  return {
    sysctls: askedSysctls(source),
    mac: askedMac(source),
    mtuBytes: (args.mtu ?? config.mtu) || undefined,
    promisc: (args.promisc ?? config.promisc) || undefined,
    allmulti: args.allmulti ?? config.allmulti,
    txQueueLength: args.txQLen ?? config.txQLen,
  }
}

function askedMac({ config, environment }: TuningSource): string | undefined {
  const { args, runtimeConfig } = config
  // An empty text of args.cni takes back what the others ask for.
  if (args?.cni?.mac === '') return undefined
  const sources = [
    ['args.cni.mac', args?.cni?.mac],
    ['runtimeConfig.mac', runtimeConfig?.mac],
    ['CNI_ARGS MAC', environment.args.get('MAC')],
    ['mac', config.mac],
  ] as const
  const [key, text] = sources.find(([, value]) => value) ?? []
  if (!key || !text) return undefined
  const mac = parseMac(text)
  if (mac) return formatMac(mac)
  throw invalid(key, text, 'a unicast MAC address such as 0a:58:0a:f4:01:05')
}

function askedSysctls({ config, environment, input }: TuningSource): readonly AskedSysctl[] {
  const found = new Map<string, AskedSysctl>()
  const lists = [
    { where: ['sysctl'], list: config.sysctl },
    { where: ['args', 'cni', 'sysctl'], list: config.args?.cni?.sysctl },
  ]
  for (const { where, list } of lists) {
    const entries = Object.entries(list ?? {})
    if (entries.length === 0) continue
    const own = new Map<string, string>()
    const name = where.join('.')
    for (const key of repeatedKeys(input, where)) throw repeated(name, key, key)
    for (const [key, value] of entries) {
      const asked = sysctlOf({ name, key, value, ifname: environment.ifname })
      const other = own.get(asked.path)
      if (other !== undefined) throw repeated(name, other, key)
      own.set(asked.path, key)
      found.set(asked.path, asked)
    }
  }
  return [...found.values()]
}

const repeated = (name: string, first: string, second: string): Error =>
  fault(
    code.invalidConfig,
    'duplicated sysctl keys are not allowed',
    `${name} has ${JSON.stringify(first)} and ${JSON.stringify(second)}, which are one sysctl; ` +
      'drop one of them',
  )

/** The native part's buffer for a value has 256 bytes with the NUL. */
const valueBytesMax = 255
const pathBytesMax = 255

type Entry = {
  readonly name: string
  readonly key: string
  readonly value: unknown
  readonly ifname: string
}

/**
 * Dots are slashes, all of them; then the first word IFNAME is the interface's name, whose own dots
 * stay.
 */
function sysctlOf({ name, key, value, ifname }: Entry): AskedSysctl {
  const path = key
    .replaceAll('.', '/')
    .split('/')
    .filter((word) => word !== '')
    .join('/')
    .replace('IFNAME', () => ifname)
  const isPlain = !hasControl(path) && encodeText(path).length <= pathBytesMax
  if (!/^net\/./.test(path) || !isPlain)
    throw invalid(`${name} key`, key, 'a sysctl of the network, such as net.core.somaxconn')
  const text = Number.isSafeInteger(value) ? String(value) : value
  if (typeof text === 'string' && !hasControl(text) && encodeText(text).length <= valueBytesMax)
    return { key, path, value: text }
  throw invalid(
    `${name}[${JSON.stringify(key)}]`,
    value,
    `text of one line, at most ${valueBytesMax} bytes, or a whole number`,
  )
}

/** C0 and DEL, NUL and newline among them; a tab parts words in /proc/sys. */
const hasControl = (text: string): boolean =>
  [...text].some((letter) => (letter < ' ' && letter !== '\t') || letter === '\u007f')

const invalid = (path: string, found: unknown, accepted: string): Error =>
  fault(
    code.invalidConfig,
    'invalid network configuration',
    `${path} is ${describe(found)}; accepted: ${accepted}`,
  )
