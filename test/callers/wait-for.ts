import { until } from '../support/until.ts'

const patience = { limitMs: 30_000, pauseMs: 50 }

/** Asks until the answer is yes; after 30 seconds the last reason for "no" is thrown. */
export const waitFor = (what: string, ask: () => boolean | Promise<boolean>): Promise<boolean> =>
  until(what, ask, patience)
