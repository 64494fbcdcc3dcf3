/**
 * Verbs that are timed; a program that knows none (`node -e 0`) simply gets the environment. RTT: a
 * packet there and back, by rtt.c.
 */
export type Verb = 'VERSION' | 'STATUS' | 'ADD' | 'CHECK' | 'DEL' | 'RTT'

/** One program with all that a runtime would hand it. */
export type Contender = {
  readonly name: string
  readonly executable: string
  readonly words: readonly string[]
  /** The whole environment but for CNI_COMMAND, CNI_CONTAINERID and CNI_NETNS. */
  readonly environment: Readonly<Record<string, string>>
  /** Standard input, one line; empty for none. */
  readonly conf: string
  /** Namespace in which it runs; none for programs that touch no network. */
  readonly node?: string
  readonly verbs: readonly Verb[]
  /** Processes started at once. */
  readonly burst: number
  /** `inside`: the program says itself how long its work took (the kernel floor). */
  readonly clock: 'exec-to-exit' | 'inside'
  /** `kept`: one more pod of this contender stays attached during the run. */
  readonly resident: 'kept' | 'none'
  /** In how many rounds it takes part, and in no warm-up; without it, in all. */
  readonly rounds?: number
  /** Process id of an agent that does part of the work: its CPU time is part of the call's. */
  readonly agent?: number
}

export type Job = {
  readonly pods: string
  readonly rounds: number
  readonly warmup: number
  readonly seed: number
  readonly limitSeconds: number
  /**
   * All contenders at one verb, then the next verb, so that their runs are close in time; or each
   * contender with all its verbs, so that pods of no other are attached where it shares a node.
   */
  readonly order: 'verbs' | 'contenders'
  /** An agent that rests so long has no more work of a call; what it does later is not counted. */
  readonly quietMs?: number
  readonly contenders: readonly Contender[]
}

/** What the harness tells of one call, or of one burst of them. */
export type Call = {
  /** Place in the job's list. */
  readonly contender: number
  readonly verb: Verb
  /** Below 0 for warm-up and for the resident pod. */
  readonly round: number
  readonly count: number
  readonly failed: number
  readonly ms: number
  readonly userMs: number
  readonly systemMs: number
  /** Of the contender's agent. */
  readonly agentMs: number
  readonly rssKiB: number
  /** Of the first failure, or of the resident pod. */
  readonly exit?: number
  readonly stdout?: string
  readonly stderr?: string
}

/** RESIDENT_ROUND of harness.c. */
export const residentRound = -1000

/** The text that harness-job.c reads. */
export function encodeJob(job: Job): string {
  const lines = [
    ['pods', job.pods],
    ['rounds', job.rounds],
    ['warmup', job.warmup],
    ['seed', job.seed],
    ['limit', job.limitSeconds],
    ['order', job.order],
    ...(job.quietMs === undefined ? [] : [['quiet', job.quietMs] as const]),
    ...job.contenders.flatMap(encodeContender),
  ]
  return lines.map(([key, value]) => `${key} ${oneLine(String(value))}\n`).join('')
}

function encodeContender(one: Contender): readonly (readonly [string, string | number])[] {
  return [
    ['contender', one.name],
    ['exe', one.executable],
    ...one.words.map((word) => ['arg', word] as const),
    ...Object.entries(one.environment).map(([key, value]) => ['env', `${key}=${value}`] as const),
    ['conf', one.conf],
    ...(one.node === undefined ? [] : [['node', one.node] as const]),
    ...one.verbs.map((verb) => ['verb', verb] as const),
    ['burst', one.burst],
    ['figure', one.clock === 'inside' ? 'inside' : 'wall'],
    ['resident', one.resident === 'kept' ? 'yes' : 'no'],
    ...(one.rounds === undefined ? [] : [['rounds', one.rounds] as const]),
    ...(one.agent === undefined ? [] : [['agent', one.agent] as const]),
  ]
}

function oneLine(value: string): string {
  if (value.includes('\n')) throw new Error(`Cannot put a line break into a job: ${value}`)
  return value
}

/** A line of the harness; anything else is a bug of ours and thrown. */
export function decodeCall(line: string): Call {
  const call = JSON.parse(line) as Partial<Call>
  if (typeof call.contender !== 'number' || typeof call.ms !== 'number')
    throw new Error(`Not a line of the harness: ${line}`)
  return call as Call
}
