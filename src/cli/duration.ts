/** "now", "12 s", "5 min", "3 h", "8 d": the largest unit that counts, as people say it. */
export function formatSeconds(seconds: number): string {
  const steps = [
    { unit: 'd', seconds: 86_400 },
    { unit: 'h', seconds: 3_600 },
    { unit: 'min', seconds: 60 },
    { unit: 's', seconds: 1 },
  ]
  const step = steps.find((one) => seconds >= one.seconds)
  return step ? `${Math.floor(seconds / step.seconds)} ${step.unit}` : 'now'
}

/** How long a moment (ISO 8601) is past; "?" for a text that is none. */
export function formatSince(moment: string, nowMilliseconds: number): string {
  const then = Date.parse(moment)
  return Number.isNaN(then) ? '?' : formatSeconds(Math.max(0, nowMilliseconds - then) / 1000)
}

export const ago = (age: string): string => (age === 'now' ? 'now' : `${age} ago`)
