import { setTimeout as sleep } from 'node:timers/promises'

export type Patience = Readonly<{ limitMs?: number; pauseMs?: number }>

/** Asks until the answer is yes; in the end throws with the last reason for "no". */
export async function until(
  what: string,
  ask: () => boolean | Promise<boolean>,
  { limitMs = 60_000, pauseMs = 200 }: Patience = {},
): Promise<void> {
  const end = performance.now() + limitMs
  let cause: unknown
  for (;;) {
    try {
      if (await ask()) return
      cause = undefined
    } catch (refusal) {
      cause = refusal
    }
    if (performance.now() > end) break
    await sleep(pauseMs)
  }
  const reason = cause === undefined ? '' : `: ${(cause as Error).message}`
  throw new Error(`Waited ${limitMs / 1000} s in vain for ${what}${reason}`, { cause })
}
