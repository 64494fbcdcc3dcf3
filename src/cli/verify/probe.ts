import { closeSync } from 'node:fs'
import type { Native } from '../../kernel/native.ts'
import { type Answer, connectFrom, openNetnsOf } from '../../kernel/pod-netns.ts'
import type { Comparison } from '../../policy/kernel-differences.ts'
import type { Connection } from '../../policy/verdict.ts'
import { nameOfEnd } from './name.ts'

export type Probed = {
  readonly from: string
  readonly to: string
  readonly port: number
  readonly found: Answer | 'no-namespace'
  /** As the kernel's rules say; absent where the answer tells nothing. */
  readonly isExpected?: boolean
}

/** Flows that can be tried out: TCP, out of a pod that is here, to a pod. */
type Trial = { readonly connection: Connection & { port: number }; readonly isPassing: boolean }

/** A SYN that got lost is sent again after a second. */
const patienceMilliseconds = 2_500
/** Each may take as long as that. */
const probesMax = 20

/** Real packets on what differs, and on some flows on which kernel and policies agree. */
export async function probe(
  native: Native,
  { differences, agreed }: Comparison,
): Promise<readonly Probed[]> {
  const trials = [
    ...differences.flatMap(({ example, kernel, lastPort }) =>
      trialOf(example, kernel === 'passes', lastPort),
    ),
    ...agreed.flatMap(({ connection, isAllowed }) => trialOf(connection, isAllowed)),
  ].slice(0, probesMax)
  const probed: Probed[] = []
  for (const trial of trials) probed.push(await tryOut(native, trial))
  return probed
}

function trialOf(connection: Connection, isPassing: boolean, lastPort = 0): readonly Trial[] {
  if (connection.protocol !== 'TCP') return []
  const { from, to } = connection
  const port = connection.port === 0 && lastPort > 0 ? 1 : connection.port
  const isOneself = from === to
  if (from.kind !== 'pod' || to.kind !== 'pod' || isOneself || port === 0) return []
  return [{ connection: { ...connection, port }, isPassing }]
}

async function tryOut(native: Native, { connection, isPassing }: Trial): Promise<Probed> {
  const { from, to, port } = connection
  const named = { from: nameOfEnd(from), to: nameOfEnd(to), port }
  const netns = openNetnsOf(native, from.address)
  if (netns === undefined) return { ...named, found: 'no-namespace' }
  try {
    const asked = { address: to.address, port, patienceMilliseconds }
    const found = await connectFrom(native, netns, asked)
    if (found === 'unreachable') return { ...named, found }
    const isThrough = found !== 'silent'
    // Of a pod on another node silence may be that node's doing.
    if (!isThrough && isPassing) return { ...named, found, ...(await isHere(native, to)) }
    return { ...named, found, isExpected: isThrough === isPassing }
  } finally {
    closeSync(netns)
  }
}

async function isHere(native: Native, { address }: Connection['to']) {
  const netns = openNetnsOf(native, address)
  if (netns === undefined) return {}
  closeSync(netns)
  return { isExpected: false }
}
