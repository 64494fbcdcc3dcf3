import { setTimeout as sleep } from 'node:timers/promises'

const limitMs = 30_000
const pauseMs = 50

/** Asks until the answer is yes; after 30 seconds the last reason for "no" is thrown. */
export async function waitFor(what: string, ask: () => boolean | Promise<boolean>): Promise<void> {
  const start = performance.now()
  let reason: unknown
  while (performance.now() - start < limitMs) {
    try {
      if (await ask()) return
    } catch (refusal) {
      reason = refusal
    }
    await sleep(pauseMs)
  }
  throw new Error(`Waited ${limitMs} ms in vain for ${what}`, { cause: reason })
}
