import { encodeText } from '../base/bytes.ts'
import { isName } from './environment.ts'
import { code, fault } from './fault.ts'
import validate, { type Violation } from './generated/validate-config.js'
import type { NetworkConfig } from './network-config.ts'
import { configSchema } from './schema.ts'
import { type CniVersion, parseVersion } from './version.ts'

/**
 * Reads the configuration from standard input's text: JSON, version, shape, name, in the order in
 * which libcni's skeleton refuses. Keys match exactly first, then without regard to case:
 * containerd sends `Subnet` and `HostPort` for what Go reads either way. Unknown keys pass. Keys
 * whose value is null count as absent.
 */
export function parseConfig(text: string): NetworkConfig {
  const { cniVersion, folded } = readConfig(text)
  if (!validate(folded)) throw violationFault(folded, validate.errors?.at(-1))
  const { bridge } = folded as NetworkConfig
  // JSON Schema counts characters, the kernel bytes.
  if (bridge !== undefined && encodeText(bridge).length > 15)
    throw violationFault(folded, { instancePath: '/bridge', keyword: '' })
  return { ...(folded as NetworkConfig), cniVersion }
}

/**
 * As `parseConfig`, for DEL: a pod must be torn down whatever became of its configuration since, so
 * of one that is wrong somewhere the few keys are kept that say where its record is.
 */
export function parseConfigForDel(text: string): NetworkConfig {
  const { cniVersion, folded } = readConfig(text)
  if (validate(folded)) return { ...(folded as NetworkConfig), cniVersion }
  const { name, type, mode, bridge, dataDir, ipam } = folded as Json
  const kept = isJson(ipam) ? { ipam: strings({ type: ipam.type, dataDir: ipam.dataDir }) } : {}
  const config = { cniVersion, ...strings({ name, type, mode, bridge, dataDir }), ...kept }
  if (validate(config)) return config as unknown as NetworkConfig
  return { cniVersion, name: String(name) }
}

/** For a plugin without keys of its own: version, name and prevResult are all it reads. */
export function parseBareConfig(
  text: string,
): Pick<NetworkConfig, 'cniVersion' | 'name' | 'prevResult'> {
  const raw = parseJson(text)
  const cniVersion = parseVersion(pick(raw, 'cniVersion'))
  refuseName(raw)
  return { cniVersion, name: String(pick(raw, 'name')), prevResult: pick(raw, 'prevResult') }
}

const strings = (value: Json): Json =>
  Object.fromEntries(Object.entries(value).filter(([, item]) => typeof item === 'string'))

function readConfig(text: string): { cniVersion: CniVersion; folded: unknown } {
  const raw = parseJson(text)
  const cniVersion = parseVersion(pick(raw, 'cniVersion'))
  const folded = fold(raw, configSchema as Shape)
  refuseName(folded)
  return { cniVersion, folded }
}

/**
 * The configuration's version if it can be had: errors are printed in it, whatever else is wrong.
 */
export function versionOf(text: string): CniVersion | undefined {
  try {
    return parseVersion(pick(parseJson(text), 'cniVersion'))
  } catch {
    return undefined
  }
}

type Json = { readonly [key: string]: unknown }

function parseJson(text: string): Json {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const found = text.trim() === '' ? 'standard input is empty' : reason
    throw fault(
      code.decode,
      'cannot decode the network configuration',
      `${found}; pass the network configuration as one JSON object on standard input`,
    )
  }
  if (isJson(value)) return value
  throw fault(
    code.decode,
    'cannot decode the network configuration',
    `standard input holds ${describe(value)}; it must be one JSON object`,
  )
}

const isJson = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function pick(value: Json, key: string): unknown {
  if (Object.hasOwn(value, key)) return value[key]
  const other = Object.keys(value).find((name) => name.toLowerCase() === key.toLowerCase())
  return other === undefined ? undefined : value[other]
}

type Shape = {
  readonly description?: string
  readonly type?: string | readonly string[]
  readonly properties?: Readonly<Record<string, Shape>>
  readonly items?: Shape
  readonly additionalProperties?: Shape
}

/**
 * Renames keys that differ from the schema's in case alone; an exact key wins over a folded one.
 */
function fold(value: unknown, schema: Shape): unknown {
  if (Array.isArray(value)) {
    const { items } = schema
    return items ? value.map((item) => fold(item, items)) : value
  }
  if (typeof value !== 'object' || value === null || !schema.properties) return value
  const known = schema.properties
  const byLowerCase = new Map(Object.keys(known).map((key) => [key.toLowerCase(), key]))
  const folded: Record<string, unknown> = Object.create(null) as Record<string, unknown>
  for (const [key, child] of Object.entries(value)) {
    const name = Object.hasOwn(known, key) ? key : (byLowerCase.get(key.toLowerCase()) ?? key)
    if (name !== key && Object.hasOwn(value, name)) continue
    const shape = Object.hasOwn(known, name) ? known[name] : undefined
    if (shape && child === null && !acceptsNull(shape)) continue
    folded[name] = shape ? fold(child, shape) : child
  }
  return folded
}

const acceptsNull = ({ type }: Shape): boolean => Array.isArray(type) && type.includes('null')

function refuseName(config: unknown): void {
  const name = pick(config as Json, 'name')
  if (name === undefined || name === '')
    throw fault(
      code.invalidConfig,
      'missing network name',
      'the key "name" is absent or empty; give the network a name',
    )
  if (typeof name !== 'string' || !isName(name))
    throw fault(
      code.invalidConfig,
      'invalid characters found in network name',
      `name is ${describe(name)}; it must start with a letter or digit, ` +
        'then letters, digits, "_", "." or "-"',
    )
}

function violationFault(config: unknown, violation: Violation | undefined): Error {
  const { instancePath = '', params, keyword } = violation ?? {}
  const missing = keyword === 'required' ? [String(params?.missingProperty)] : []
  const at = wordsOf(instancePath)
  const found = missing.length > 0 ? 'absent' : describe(at.reduce(childOf, config))
  const path = [...at, ...missing]
  const shape = path.reduce(shapeOf, configSchema as Shape | undefined)
  return fault(
    code.invalidConfig,
    'invalid network configuration',
    `${formatPath(path)} is ${found}; accepted: ${shape?.description ?? 'another value'}`,
  )
}

/** The words of a JSON pointer (RFC 6901). */
const wordsOf = (pointer: string): readonly string[] =>
  pointer
    .split('/')
    .slice(1)
    .map((word) => word.replaceAll('~1', '/').replaceAll('~0', '~'))

const childOf = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Json)[key] : undefined

const shapeOf = (shape: Shape | undefined, key: string): Shape | undefined =>
  shape?.items ?? shape?.properties?.[key] ?? shape?.additionalProperties

/** "ipam.ranges[0][1].subnet" */
export const formatPath = (path: readonly string[]): string =>
  path
    .map((word, at) => (/^\d+$/.test(word) ? `[${word}]` : at === 0 ? word : `.${word}`))
    .join('') || 'the configuration'

const shownLengthMax = 120

export function describe(value: unknown): string {
  const text = jsonOf(value)
  return text.length > shownLengthMax ? `${text.slice(0, shownLengthMax)}…` : text
}

/** JSON.parse reads deeper nesting than JSON.stringify can write. */
function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value)
  } catch {
    return Array.isArray(value) ? 'a list, nested too deeply' : 'an object, nested too deeply'
  }
}
