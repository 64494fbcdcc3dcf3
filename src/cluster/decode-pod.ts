import { type Address, parseAddress, sameAddress } from '../base/address.ts'
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
import { readMetadata } from './metadata.ts'
import type { ContainerPort, Pod } from './pod.ts'
import { isPort, isPortName, transports } from './policy-port.ts'

/** Reads a Pod (core/v1), as an API server sent it or as a manifest has it. */
export function decodePod(object: unknown): Decoded<Pod> {
  const field = rootField(object)
  const metadata = readMetadata(field)
  const spec = child(field, 'spec')
  const status = child(field, 'status')
  const node = textIn(child(spec, 'nodeName'), 'optional')
  const uid = readUid(child(field, 'metadata'))
  const phase = textIn(child(status, 'phase'), 'optional')
  const rest = {
    addresses: readAddresses(child(status, 'podIP'), child(status, 'podIPs')),
    hostAddresses: readAddresses(child(status, 'hostIP'), child(status, 'hostIPs')),
    ports: readPorts(spec),
    isHostNetwork: isTrue(child(spec, 'hostNetwork')),
    isDone: phase === 'Succeeded' || phase === 'Failed',
    serviceAccount: textIn(child(spec, 'serviceAccountName'), 'optional') ?? 'default',
    ...(node === undefined ? {} : { node }),
    ...(uid === undefined ? {} : { uid }),
  }
  return { value: metadata && { ...metadata, ...rest }, problems: field.problems }
}

/**
 * The API server shows a static pod by a mirror of it, an object with a uid of its own; the pod's
 * is in this annotation (kubelet, pkg/kubelet/types: ConfigHashAnnotationKey).
 */
const staticUidAnnotation = 'kubernetes.io/config.hash'

function readUid(metadata: Field): string | undefined {
  const ofStatic = child(child(metadata, 'annotations'), staticUidAnnotation)
  return textIn(isAbsent(ofStatic) ? child(metadata, 'uid') : ofStatic, 'optional')
}

function isTrue(field: Field): boolean {
  if (!isAbsent(field) && typeof field.value !== 'boolean') wrong(field, 'true, false')
  return field.value === true
}

/** The older field for one address, and the list; each address once. */
function readAddresses(single: Field, list: Field): readonly Address[] {
  const fields = [single, ...itemsOf(list).map((item) => child(item, 'ip'))]
  const addresses = fields.flatMap((field) => {
    if (field === single && (isAbsent(field) || field.value === '')) return []
    return readAddress(field) ?? []
  })
  return addresses.filter(
    (address, index) => addresses.findIndex((one) => sameAddress(one, address)) === index,
  )
}

function readAddress(field: Field): Address | undefined {
  const address = typeof field.value === 'string' ? parseAddress(field.value) : undefined
  return address ?? wrong(field, 'an address as in "10.244.1.7" or "fd00::7"')
}

function readPorts(spec: Field): readonly ContainerPort[] {
  const containers = itemsOf(child(spec, 'containers'))
  const sidecars = itemsOf(child(spec, 'initContainers')).filter(
    (container) => child(container, 'restartPolicy').value === 'Always',
  )
  return [...containers, ...sidecars].flatMap((container) =>
    itemsOf(child(container, 'ports')).flatMap((port) => readPort(port) ?? []),
  )
}

function readPort(field: Field): ContainerPort | undefined {
  const [port, named, asked] = ['containerPort', 'name', 'protocol'].map((key) => child(field, key))
  if (!port || !named || !asked) return undefined
  const protocol = isAbsent(asked) ? 'TCP' : transports.find((one) => one === asked.value)
  const name = textIn(named, 'optional')
  if (protocol === undefined) return wrong(asked, transports.join(', '))
  if (!isPort(port.value)) return wrong(port, 'a number from 1 to 65535')
  if (name !== undefined && !isPortName(name))
    return wrong(named, 'a name of at most 15 lower-case letters, digits and "-"')
  return { protocol, port: port.value, ...(name === undefined ? {} : { name }) }
}
