import { formatAddress, parseAddress } from '../base/address.ts'
import { formatMac } from '../base/mac.ts'
import {
  IFF_ALLMULTI,
  IFF_PROMISC,
  type IfIndex,
  type LinkChange,
  setLink,
} from '../wire/rtnl/link.ts'
import type { Link } from '../wire/rtnl/observed-link.ts'
import type { Step } from './steps.ts'
import { macOf } from './wiring.ts'

/** What is set on the pod's interface and namespace, and what was there before. */
export type Tuning = {
  readonly sysctls: readonly TunedSysctl[]
  readonly link: LinkSettings
  readonly before: {
    /** Number of the pod's namespace; null where the kernel tells none. */
    readonly netnsCookie: string | null
    readonly pod: LinkSettings
    readonly host: LinkSettings
  }
}

export type TunedSysctl = {
  /** Under /proc/sys. */
  readonly path: string
  readonly value: string
  /** Null: unknown, or the file comes and goes with the interface. */
  readonly before: string | null
}

/** What a link can be told; undefined is left as it is. */
export type LinkSettings = {
  readonly mac?: string | undefined
  readonly mtuBytes?: number | undefined
  readonly promisc?: boolean | undefined
  readonly allmulti?: boolean | undefined
  readonly txQueueLength?: number | undefined
}

/** In the order in which they are set; taken back the other way round. */
const names = ['mac', 'promisc', 'mtuBytes', 'allmulti', 'txQueueLength'] as const
type Name = (typeof names)[number]

const words: Readonly<Record<Name, string>> = {
  mac: 'MAC',
  promisc: 'promiscuous mode',
  mtuBytes: 'MTU',
  allmulti: 'all-multicast mode',
  txQueueLength: 'transmit queue length',
}

/**
 * What of the pod's end is meant for the host's end too: packets of one size must pass both ways,
 * and both ends queue.
 */
export const hostSettings = ({ mtuBytes, txQueueLength }: LinkSettings): LinkSettings => ({
  mtuBytes,
  txQueueLength,
})

export const isNothing = (settings: LinkSettings): boolean =>
  names.every((name) => settings[name] === undefined)

type Tunable = Pick<Link, 'flags' | 'mtuBytes' | 'mac' | 'txQueueLength'>

const settingsOf = ({ flags, mtuBytes, mac, txQueueLength }: Tunable): LinkSettings => ({
  mac: mac && formatMac(mac),
  mtuBytes,
  promisc: (flags & IFF_PROMISC) !== 0,
  allmulti: (flags & IFF_ALLMULTI) !== 0,
  txQueueLength,
})

/** How the link stands in all that is about to be changed. */
export function settingsBefore(link: Tunable, wanted: LinkSettings): LinkSettings {
  const there = settingsOf(link)
  return Object.fromEntries(
    names.filter((name) => wanted[name] !== undefined).map((name) => [name, there[name]]),
  )
}

type Place = { readonly index: IfIndex; readonly name: string }

/** One message a setting: a refusal tells which. */
export const settingSteps = ({ index, name }: Place, settings: LinkSettings): readonly Step[] =>
  names
    .filter((setting) => settings[setting] !== undefined)
    .map((setting) => ({
      what: `set the ${words[setting]} of ${name} to ${shown(settings[setting])}`,
      query: setLink({ index, ...changeOf(setting, settings) }),
    }))

function changeOf(setting: Name, settings: LinkSettings): Omit<LinkChange, 'index'> {
  const value = settings[setting]
  return { [setting]: setting === 'mac' ? macOf(String(value)) : value }
}

const shown = (value: string | number | boolean | undefined): string =>
  typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value ?? 'none')

/** Settings that are not as they were made, in sentences. */
export function settingDifferences(
  name: string,
  link: Tunable | undefined,
  settings: LinkSettings,
): readonly string[] {
  if (isNothing(settings)) return []
  if (!link) return [`${name} is not there`]
  const there = settingsOf(link)
  return names
    .filter((one) => settings[one] !== undefined && settings[one] !== there[one])
    .map((one) => `${name} has ${words[one]} ${shown(there[one])}, not ${shown(settings[one])}`)
}

/**
 * Whether the kernel shows what was written: it parts words by tabs, reads numbers in C's notation,
 * and writes IPv6 addresses out in full.
 */
export const isSameSysctl = (shown: string, written: string): boolean =>
  plain(shown) === plain(written)

const plain = (value: string): string => value.trim().split(/\s+/).map(plainWord).join(' ')

function plainWord(word: string): string {
  const address = parseAddress(word)
  if (address) return formatAddress(address)
  const [, sign = '', digits] = /^([+-]?)(0[xX][0-9a-fA-F]+|\d+)$/.exec(word) ?? []
  if (digits === undefined) return word
  const isOctal = /^0[0-7]+$/.test(digits)
  const value = BigInt(isOctal ? `0o${digits}` : digits)
  return String(sign === '-' ? -value : value)
}
