import { setTimeout as sleep } from 'node:timers/promises'

export type Patience = Readonly<{ limitMs: number; pauseMs: number }>

/** Asks until there is an answer, and gives it; in the end throws with the last reason for none. */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  { limitMs, pauseMs }: Patience,
): Promise<NonNullable<T>> {
  const end = performance.now() + limitMs
  let cause: unknown
  for (;;) {
    try {
      const answer = await ask()
      if (answer) return answer
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
