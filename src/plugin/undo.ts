/** What takes a finished step back; run newest first. */
export type Undo = (() => void)[]

export function undoAll(undo: Undo, refusal: unknown): unknown {
  const faults: unknown[] = [refusal]
  for (const step of undo.reverse())
    try {
      step()
    } catch (another) {
      faults.push(another)
    }
  return faults.length === 1
    ? refusal
    : new AggregateError(faults, 'Cannot attach the pod, nor undo it all')
}
