import { fieldOf, isObject } from '../cluster/json-value.ts'
import { portMax, transportNumbers } from '../cluster/policy-port.ts'
import type { GuardedPorts } from '../datapath/node-port-guard.ts'
import { readNetworks } from './networks-key.ts'

/**
 * As YAML has it, a list of `{ ports: "30000-32767", protocol: TCP, from: [10.0.0.0/8] }`; as a
 * flag has it, "30000-32767/TCP=10.0.0.0/8,fd00::/8;8080=192.0.2.0/24".
 */
export function readNodePortGuard(
  value: unknown,
): { readonly value: readonly GuardedPorts[] } | undefined {
  const entries = typeof value === 'string' ? entriesOf(value) : value
  if (!Array.isArray(entries) || entries.length > entriesMax) return undefined
  const read = entries.map(readEntry)
  const good = read.filter((entry) => entry !== undefined)
  return good.length === read.length ? { value: good.flat() } : undefined
}

export const nodePortGuardAccepted =
  'a list of { ports: "30000-32767" or a number, protocol: TCP, UDP or SCTP (absent: all three), ' +
  'from: prefixes }, or "PORTS/PROTOCOL=CIDR,…;…"'

/** A person writes it. */
const entriesMax = 1000

function entriesOf(text: string): readonly unknown[] {
  if (text.trim() === '') return []
  return text.split(';').map((entry) => {
    const [, ports, protocol, from] = /^\s*([\d-]+)(?:\/(\w+))?=([^=]*)$/.exec(entry) ?? []
    const prefixes = from?.split(',').map((one) => one.trim())
    return { ports, from: from === '' ? [] : prefixes, ...(protocol ? { protocol } : {}) }
  })
}

/** One for each protocol that is meant. */
function readEntry(entry: unknown): readonly GuardedPorts[] | undefined {
  const isKnown = isObject(entry) && Object.keys(entry).every((key) => fields.includes(key))
  const range = isKnown ? readPorts(fieldOf(entry, 'ports')) : undefined
  const from = isKnown ? readNetworks(fieldOf(entry, 'from')) : undefined
  const protocols = isKnown ? readProtocols(fieldOf(entry, 'protocol')) : undefined
  if (!range || !from || !protocols) return undefined
  return protocols.map((protocol) => ({ ...range, protocol, from }))
}
const fields: readonly string[] = ['ports', 'protocol', 'from']

function readPorts(value: unknown): Pick<GuardedPorts, 'first' | 'last'> | undefined {
  const [, low, high] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(String(value)) ?? []
  const [first, last] = [Number(low), Number(high ?? low)]
  return first >= 1 && first <= last && last <= portMax ? { first, last } : undefined
}

function readProtocols(value: unknown): readonly number[] | undefined {
  if (value === undefined) return Object.values(transportNumbers)
  const number = typeof value === 'string' ? fieldOf(transportNumbers, value) : undefined
  return typeof number === 'number' ? [number] : undefined
}
