import { code, fault } from './fault.ts'

/** Every released version of the CNI specification. */
export const versions = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const
export type CniVersion = (typeof versions)[number]
export const newestVersion: CniVersion = '1.1.0'

export const isVersion = (text: string): text is CniVersion =>
  (versions as readonly string[]).includes(text)

/** True if `version` is `least` or newer. */
export const isAtLeast = (version: CniVersion, least: CniVersion): boolean =>
  versions.indexOf(version) >= versions.indexOf(least)

/**
 * The configuration's cniVersion; absent or empty means 0.1.0 (specification 0.1.0 had no such
 * key).
 */
export function parseVersion(value: unknown): CniVersion {
  if (value === undefined || value === null || value === '') return '0.1.0'
  if (typeof value === 'string' && isVersion(value)) return value
  throw fault(
    code.incompatibleVersion,
    'incompatible CNI versions',
    `config is ${JSON.stringify(value)}, plugin supports ${JSON.stringify(versions)}`,
  )
}

/** What VERSION prints: the version that was asked in, where it is one, and all that are known. */
export function formatVersions(input: string): string {
  let cniVersion: string = newestVersion
  try {
    const asked = (JSON.parse(input) as { cniVersion?: unknown } | null)?.cniVersion
    if (typeof asked === 'string' && isVersion(asked)) cniVersion = asked
  } catch {
    // VERSION takes no configuration; a runtime that sends none gets the newest.
  }
  return JSON.stringify({ cniVersion, supportedVersions: versions })
}
