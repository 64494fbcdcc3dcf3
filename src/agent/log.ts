import { pino } from 'pino'
import pretty from 'pino-pretty'
import type { LogLevel } from './config-keys.ts'

export type Log = pino.Logger

/** JSON lines on standard output, lines for people on a terminal; each is out when it is said. */
export function makeLog(level: LogLevel, node: string): Log {
  const options = { level, base: { node }, timestamp: pino.stdTimeFunctions.isoTime }
  const isTerminal = process.stdout.isTTY === true
  if (!isTerminal) return pino(options, pino.destination({ dest: 1, sync: true }))
  const stream = pretty({
    destination: 1,
    sync: true,
    colorize: process.env.NO_COLOR === undefined,
    ignore: 'node,pid,hostname',
    translateTime: 'SYS:HH:MM:ss.l',
  })
  return pino(options, stream)
}
