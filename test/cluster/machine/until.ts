import { type Patience, until as untilWithin } from '../../support/until.ts'

/** Asks until there is an answer, for a minute unless said. */
export const until = <T>(
  what: string,
  ask: () => T | Promise<T>,
  { limitMs = 60_000, pauseMs = 200 }: Partial<Patience> = {},
): Promise<NonNullable<T>> => untilWithin(what, ask, { limitMs, pauseMs })
