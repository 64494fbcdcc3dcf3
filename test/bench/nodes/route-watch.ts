import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Netns } from '../../support/netns.ts'

export type RouteEvent = {
  /** When iproute2 read it from the kernel: milliseconds since 1970, to the microsecond. */
  readonly at: number
  readonly kind: 'added' | 'deleted'
  /** "10.128.0.0/24", or "default". */
  readonly destination: string
}

type Waiter = {
  readonly isIt: (event: RouteEvent) => boolean
  readonly tell: (event: RouteEvent) => void
}

/** iproute2's own monitor stands by, so that nobody's word is taken for what the kernel holds. */
export class RouteWatch {
  readonly events: RouteEvent[] = []
  readonly #child: ChildProcess
  readonly #waiters = new Set<Waiter>()

  constructor(netns: Netns) {
    const words = [`--net=${netns.path}`, 'ip', '-ts', '-o', 'monitor', 'route']
    this.#child = spawn('nsenter', words, {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, TZ: 'UTC' },
    })
    const { stdout } = this.#child
    if (stdout) createInterface({ input: stdout }).on('line', (line) => this.#take(line))
  }

  /** The next event that `isIt` says yes to; an error after `limitMs`. */
  next(what: string, isIt: (event: RouteEvent) => boolean, limitMs: number): Promise<RouteEvent> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer)
        this.#waiters.delete(waiter)
      }
      const waiter: Waiter = {
        isIt,
        tell: (event) => {
          end()
          resolve(event)
        },
      }
      const timer = setTimeout(() => {
        end()
        reject(new Error(`no ${what} within ${limitMs} ms`))
      }, limitMs)
      this.#waiters.add(waiter)
    })
  }

  close(): void {
    this.#child.kill()
  }

  #take(line: string): void {
    const event = parseLine(line)
    if (!event) return
    this.events.push(event)
    for (const waiter of [...this.#waiters]) if (waiter.isIt(event)) waiter.tell(event)
  }
}

/** "[2026-11-23T07:10:32.690844] Deleted 10.1.3.0/24 via …" */
export function parseLine(line: string): RouteEvent | undefined {
  const found = /^\[(\S{23})(\d{3})\] (Deleted )?(?:unicast )?(\S+) /.exec(line)
  const [, milliseconds, microseconds, deleted, destination] = found ?? []
  if (milliseconds === undefined || destination === undefined) return undefined
  return {
    at: Date.parse(`${milliseconds}Z`) + Number(microseconds) / 1000,
    kind: deleted === undefined ? 'added' : 'deleted',
    destination,
  }
}
