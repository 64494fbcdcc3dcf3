import { type Address, parseAddress } from '../base/address.ts'
import {
  child,
  type Decoded,
  type Field,
  isAbsent,
  itemsOf,
  rootField,
  textIn,
  wrong,
} from './field.ts'
import { readLabels, readMetadata } from './metadata.ts'
import { isPort, isPortName, transports } from './policy-port.ts'
import { type Service, type ServicePort, serviceTypes } from './service.ts'

/** Reads a Service (core/v1), with the API server's defaults in place. */
export function decodeService(object: unknown): Decoded<Service> {
  const field = rootField(object)
  const metadata = readMetadata(field)
  const spec = child(field, 'spec')
  const selector = child(spec, 'selector')
  const labels = isAbsent(selector) ? undefined : readLabels(selector)
  const type = readWord(child(spec, 'type'), serviceTypes)
  const externalTrafficPolicy = readWord(child(spec, 'externalTrafficPolicy'), policies)
  const ports = itemsOf(child(spec, 'ports')).flatMap((item) => readPort(item) ?? [])
  const clusterAddresses = readAddresses(spec)
  const { problems } = field
  if (!metadata) return { value: undefined, problems }
  const { namespace, name } = metadata
  const rest = { namespace, name, type, ports, clusterAddresses, externalTrafficPolicy }
  return { value: { ...rest, ...(labels?.size ? { selector: labels } : {}) }, problems }
}

const policies = ['Cluster', 'Local'] as const

/** The first word is the API server's default. */
function readWord<Word extends string>(field: Field, words: readonly [Word, ...Word[]]): Word {
  if (isAbsent(field) || field.value === '') return words[0]
  return words.find((word) => word === field.value) ?? wrong(field, words.join(', ')) ?? words[0]
}

/** "None" is a headless Service's; a manifest that was never applied has none. */
function readAddresses(spec: Field): readonly Address[] {
  const single = textIn(child(spec, 'clusterIP'), 'optional')
  const several = itemsOf(child(spec, 'clusterIPs')).map((item) => textIn(item, 'needed'))
  const texts = new Set([single, ...several].filter((text) => text !== undefined))
  texts.delete('None')
  return [...texts].flatMap((text) => parseAddress(text) ?? [])
}

function readPort(field: Field): ServicePort | undefined {
  const [number, asked, target] = ['port', 'protocol', 'targetPort'].map((key) => child(field, key))
  if (!number || !asked || !target) return undefined
  const protocol = isAbsent(asked) ? 'TCP' : transports.find((one) => one === asked.value)
  if (protocol === undefined) return wrong(asked, transports.join(', '))
  const { value: port } = number
  if (!isPort(port)) return wrong(number, 'a number from 1 to 65535')
  if (isAbsent(target) || target.value === 0 || target.value === '')
    return { protocol, port, target: port }
  const { value } = target
  if (isPort(value) || (typeof value === 'string' && isPortName(value)))
    return { protocol, port, target: value }
  return wrong(target, 'a number from 1 to 65535, or the name of a port')
}
