import { parseArgs } from 'node:util'
import type { Native } from '../kernel/native.ts'

/** What the executable's first lines hand over. */
export type ToolCall = {
  readonly words: readonly string[]
  /** Every name that the executable answers to as a plugin. */
  readonly pluginNames: readonly string[]
  readonly version: string
  readonly loadNative: () => Native
  /** Serves launchers on this thread until the process is ended. */
  readonly serveCalls: (socketPath: string, isUnrehearsed: boolean) => void
}

export type Option = {
  readonly type: 'string' | 'boolean'
  /** Stands for the value in the help: DIR, NAME. */
  readonly value?: string
  readonly default?: string
  readonly text: string
}

/** A word behind the command's name: SRC, DST, PORT. `repeated`: any number, the last of all. */
export type Operand = { readonly name: string; readonly need: 'needed' | 'optional' | 'repeated' }

export type Values = Readonly<Record<string, string | boolean | undefined>>

/** What a command works with; it prints through these, never past them. */
export type Desk = ToolCall & {
  readonly values: Values
  /** As many as the command has names for; those at the end may be missing. */
  readonly operands: readonly string[]
  readonly print: (text: string) => void
  /** What is not the answer: a pipe never sees it. */
  readonly remark: (text: string) => void
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
  readonly operands?: readonly Operand[]
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

/** What was handed over can't be used; every line says what is wrong where. Exit code 2. */
export class InputFault extends Error {
  override name = 'InputFault'
}

export const jsonOption: Option = { type: 'boolean', text: 'print JSON' }

export type Parsed = Pick<Desk, 'values' | 'operands'>

export function parseWords(
  { name, options, operands = [] }: Command,
  words: readonly string[],
): Parsed {
  const known = Object.entries({ ...options, help: { type: 'boolean' } as const })
  try {
    const { values, positionals } = parseArgs({
      args: [...words],
      options: Object.fromEntries(known.map(([key, { type }]) => [key, { type }])),
      allowPositionals: operands.length > 0,
    })
    const needed = operands.filter(({ need }) => need === 'needed')
    const isOpen = operands.some(({ need }) => need === 'repeated')
    const most = isOpen ? Number.POSITIVE_INFINITY : operands.length
    if (positionals.length < needed.length || positionals.length > most)
      throw new Error(`It takes ${operands.map(wordOf).join(' ')}`)
    const defaults = Object.entries(options).map(([key, option]) => [key, option.default])
    return { values: { ...Object.fromEntries(defaults), ...values }, operands: positionals }
  } catch (cause) {
    const said = cause instanceof Error ? cause.message.split('. ')[0] : String(cause)
    throw new UsageFault(`tulle ${name}: ${said}`, { cause })
  }
}

export const wordOf = ({ name, need }: Operand): string => {
  if (need === 'needed') return name
  return need === 'repeated' ? `[${name} …]` : `[${name}]`
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
