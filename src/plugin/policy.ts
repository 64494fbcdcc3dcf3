import { closeSync, openSync } from 'node:fs'
import { toHex } from '../base/bytes.ts'
import { code, fault } from '../cni/fault.ts'
import { defaultRunDir, defaultWaitSeconds } from '../cni/policy.ts'
import { type Attachment, nameOf } from '../datapath/attachment.ts'
import { closingElements, forgetQueries, isClosing, verdictsOf } from '../datapath/closed.ts'
import { policyTable } from '../datapath/policy-table.ts'
import type { FilterSocket } from '../kernel/filter-socket.ts'
import { errno, refusedBatch } from '../kernel/refusal.ts'
import type { LeaseStore } from '../store/lease-store.ts'
import type { Element } from '../wire/nft/set.ts'
import type { Call } from './context.ts'
import { nanosecondsNow, type Pausing } from './pausing.ts'

// A pod that policies hold for is closed when its interface is made; the agent, if one runs, hears
// of it from the kernel, reads the record, and puts its verdicts.

const LOCK_SH = 1
/** The agent's answer takes a millisecond or two. */
const pollMilliseconds = 0.25
const pollMillisecondsMax = 4

const lockPath = ({ config }: Pick<Call, 'config'>): string =>
  `${config.policy?.runDir ?? defaultRunDir}/agent.lock`

/** As long as the verdicts of all its addresses are awaited, the pod is closed. */
export function* awaitVerdicts(
  call: Call,
  attachment: Attachment,
  filter: FilterSocket,
): Pausing<void> {
  const verdicts = verdictsOf(closingElements(attachment))
  if (verdicts.length === 0) return
  const { waitSeconds = defaultWaitSeconds } = call.config.policy ?? {}
  const isThere = (): boolean => filter.missingElements({ elements: verdicts }).length === 0
  const outcome = yield* poll(isThere, () => isAgentThere(call), waitSeconds * 1000)
  if (outcome === 'there') return
  const why =
    outcome === 'late'
      ? `the agent has not told within ${waitSeconds} s`
      : `no agent holds ${lockPath(call)}`
  call.note(`the pod is closed until its policies are known: ${why}`)
}

type Outcome = 'there' | 'late' | 'no agent'

/** Nobody tells a process that waits for nothing else; the kernel is asked, ever less often. */
function* poll(
  isThere: () => boolean,
  isHeld: () => boolean,
  limitMilliseconds: number,
): Pausing<Outcome> {
  const end = nanosecondsNow() + BigInt(Math.round(limitMilliseconds * 1e6))
  for (let pause = pollMilliseconds; ; pause = Math.min(pause * 1.2, pollMillisecondsMax)) {
    if (isThere()) return 'there'
    if (!isHeld()) return 'no agent'
    if (nanosecondsNow() >= end) return 'late'
    yield pause
  }
}

/** The agent's lock ends with its process, however that ends. */
function isAgentThere(call: Call): boolean {
  const fd = openLock(lockPath(call))
  if (fd === undefined) return false
  try {
    return call.native.lock(fd, LOCK_SH, 0) === -errno.EAGAIN
  } finally {
    closeSync(fd)
  }
}

function openLock(path: string): number | undefined {
  try {
    return openSync(path, 'r')
  } catch (refusal) {
    const { code } = refusal as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw refusal
  }
}

/**
 * What policies have of an attachment that goes, but for its own elements. Verdicts are the agent's
 * to take away; where none runs, nothing that let this pod pass waits for the next of its address.
 * An address that another has on record goes on being closed (P44).
 */
export function leavePolicies(
  call: Call,
  attachment: Attachment,
  { store, filter }: { readonly store: LeaseStore; readonly filter: FilterSocket },
): void {
  if (!attachment.isPoliced) return
  const own = filter.ownElements(closingElements(attachment))
  if (!isAgentThere(call)) dropVerdicts(filter, own)
  const others = store
    .attachments()
    .filter((other) => nameOf(other) !== nameOf(attachment))
    .flatMap(closingElements)
  for (const element of own) {
    const heir = others.find(({ key }) => toHex(key) === toHex(element.key))
    if (heir) filter.swapElements([element], [heir])
  }
}

function dropVerdicts(filter: FilterSocket, closing: readonly Element[]): void {
  const verdicts = verdictsOf(closing)
  const missing = new Set(filter.missingElements({ elements: verdicts }))
  const refusal = filter.commitParts(
    forgetQueries(verdicts.filter((verdict) => !missing.has(verdict))),
  )
  // Gone meanwhile: an agent that has just begun makes the table anew.
  if (refusal && refusal.errno !== errno.ENOENT)
    throw refusedBatch('delete verdicts of policies', refusal)
}

/** The table goes with the last pod that is closed in it, unless there is an agent to fill it. */
export function dropIdlePolicies(call: Call, filter: FilterSocket): void {
  if (!isAgentThere(call)) filter.dropEmptyTables([policyTable])
}

/** Elements of attachments that no record tells of, with what they let pass. */
export function dropOrphans(call: Call, filter: FilterSocket, orphans: readonly Element[]): void {
  if (orphans.some(isClosing) && !isAgentThere(call)) dropVerdicts(filter, orphans)
  filter.deleteElements(orphans)
}

/** Behind another plugin there is an interface already, and what passes it was never closed. */
export function refusePolicyBehind({ config, plugin }: Call): void {
  if (plugin !== 'tulle' || !config.policy?.enforce) return
  throw fault(
    code.invalidConfig,
    'policies hold from the first packet or not at all',
    'policy.enforce is true, and there is a prevResult; set it where the interface is made',
  )
}

/** Another program would not know the key, and its pods would be open. */
export function refusePolicyFor({ config }: Call, delegate: string): void {
  if (!config.policy?.enforce) return
  throw fault(
    code.invalidConfig,
    'policies hold only for interfaces that Tulle makes',
    `policy.enforce is true, and delegate.type is "${delegate}"; use "bridge", "ptp" or "tulle"`,
  )
}
