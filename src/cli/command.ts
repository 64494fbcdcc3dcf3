import { parseArgs } from 'node:util'
import type { Native } from '../kernel/native.ts'

/** What the executable's first lines hand over. */
export type ToolCall = {
  readonly words: readonly string[]
  /** Every name that the executable answers to as a plugin. */
  readonly pluginNames: readonly string[]
  readonly version: string
  readonly loadNative: () => Native
}

export type Option = {
  readonly type: 'string' | 'boolean'
  /** Stands for the value in the help: DIR, NAME. */
  readonly value?: string
  readonly default?: string
  readonly text: string
}

export type Values = Readonly<Record<string, string | boolean | undefined>>

/** What a command works with; it prints through these, never past them. */
export type Desk = ToolCall & {
  readonly values: Values
  readonly print: (text: string) => void
  /** Colour and frames are for people; a pipe gets plain text. */
  readonly isTerminal: boolean
}

export type Command = {
  /** As it is typed: "ipam list". */
  readonly name: string
  readonly summary: string
  /** What it does, for its own help: lines of at most 80 columns. */
  readonly about: readonly string[]
  readonly options: Readonly<Record<string, Option>>
  /** The exit code: 0 done, 1 not. */
  readonly run: (desk: Desk) => number | Promise<number>
}

/** Typed wrongly: exit code 2, and the way to the help. */
export class UsageFault extends Error {
  override name = 'UsageFault'
}

/** The world said no; the message says what was found and what to do. Exit code 1. */
export class ToolFault extends Error {
  override name = 'ToolFault'
}

export const jsonOption: Option = { type: 'boolean', text: 'print JSON' }

export function parseValues({ name, options }: Command, words: readonly string[]): Values {
  const known = Object.entries({ ...options, help: { type: 'boolean' } as const })
  try {
    const { values } = parseArgs({
      args: [...words],
      options: Object.fromEntries(known.map(([key, { type }]) => [key, { type }])),
      allowPositionals: false,
    })
    const defaults = Object.entries(options).map(([key, option]) => [key, option.default])
    return { ...Object.fromEntries(defaults), ...values }
  } catch (cause) {
    const said = cause instanceof Error ? cause.message.split('. ')[0] : String(cause)
    throw new UsageFault(`tulle ${name}: ${said}`, { cause })
  }
}

/** The value of an option of text; empty counts as not given. */
export const textOf = (values: Values, key: string): string | undefined => {
  const value = values[key]
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** As `textOf`, for an option that has a default or has to be given. */
export function requiredText({ values }: Desk, key: string, placeholder: string): string {
  const value = textOf(values, key)
  if (value === undefined) throw new UsageFault(`--${key} ${placeholder} is missing`)
  return value
}
