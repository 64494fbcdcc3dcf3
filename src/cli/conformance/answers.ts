import type { Watched } from '../../kernel/watched-program.ts'
import type { Findings } from './case.ts'

export type Json = Readonly<Record<string, unknown>>

export const isJson = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export function parseJson(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isJson(value) ? value : undefined
  } catch {
    return undefined
  }
}

const shownMax = 160

/** Output as one short line, in quotes. */
export function shown(text: string): string {
  const line = text.trim().replace(/\s+/g, ' ')
  return JSON.stringify(line.length > shownMax ? `${line.slice(0, shownMax)}…` : line)
}

/** How a call ended, in words. */
export function told({ code, stdout, stderr, isLate }: Watched): string {
  if (isLate) return 'did not end in time and was killed'
  const error = parseJson(stdout)
  if (error !== undefined && code !== 0 && 'msg' in error)
    return `exit ${code}, code ${error.code}, ${shown([error.msg, error.details].join(' '))}`
  const words = [stdout && `stdout ${shown(stdout)}`, stderr && `stderr ${shown(stderr)}`]
  return [`exit ${code}`, ...words.filter((word) => word !== '')].join(', ')
}

export const succeeded = (what: string, ran: Watched): Findings =>
  ran.code === 0 && !ran.isLate ? [] : [`${what}: ${told(ran)}`]

/** Success without a word on standard output. */
export const silent = (what: string, ran: Watched): Findings => {
  const failed = succeeded(what, ran)
  if (failed.length > 0 || ran.stdout.trim() === '') return failed
  return [`${what}: success, but it printed ${shown(ran.stdout)}`]
}

export type Refusal = {
  /** Any of these; none given: any code. */
  readonly codes?: readonly number[]
  /** Words that the message or its details must hold. */
  readonly names?: readonly string[]
}

/** Refused as the specification says: exit not 0, and one error object on standard output. */
export function refused(what: string, ran: Watched, { codes, names = [] }: Refusal = {}): Findings {
  if (ran.isLate) return [`${what}: ${told(ran)}`]
  if (ran.code === 0) return [`${what}: accepted; ${told(ran)}`]
  const error = parseJson(ran.stdout)
  if (!error || typeof error.code !== 'number' || typeof error.msg !== 'string')
    return [`${what}: standard output is no error object with code and msg; ${told(ran)}`]
  if (codes && !codes.includes(error.code))
    return [`${what}: code ${codes.join(' or ')} expected; ${told(ran)}`]
  const words = `${error.msg} ${error.details ?? ''}`
  const missing = names.filter((name) => !words.includes(name))
  return missing.length === 0
    ? []
    : [`${what}: the message does not name ${missing.join(', ')}; ${told(ran)}`]
}
