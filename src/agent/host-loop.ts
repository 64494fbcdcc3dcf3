import type { Sysctls } from '../kernel/sysctl.ts'
import { listeners } from '../kernel/sysctl.ts'
import type { Self } from '../overlay/fabric.ts'
import type { Drift } from './drift.ts'
import { Loop, type SharedOptions, sharedOf } from './loop.ts'

const gapMilliseconds = 100
const retryMilliseconds = 1000
const retryMillisecondsMax = 30_000

export type HostLoopOptions = SharedOptions & {
  readonly resyncMilliseconds: number
  readonly sysctls: Sysctls
  readonly self: () => Self | undefined
  readonly drift: Drift
}

const forwarding = { 4: 'net/ipv4/ip_forward', 6: 'net/ipv6/conf/all/forwarding' } as const

/** What the host itself has to be: it forwards packets of the families that its pods have. */
export class HostLoop {
  readonly loop: Loop
  readonly #options: HostLoopOptions
  readonly #switchedOn = new Set<string>()

  constructor(options: HostLoopOptions) {
    this.#options = options
    const { resyncMilliseconds } = options
    this.loop = new Loop({
      ...sharedOf(options),
      name: 'host',
      work: () => this.work(),
      gapMilliseconds,
      retryMilliseconds,
      retryMillisecondsMax,
      resyncMilliseconds,
    })
  }

  work(): void {
    const families = new Set(this.#options.self()?.podCIDRs.map(({ address }) => address.family))
    for (const family of families) this.#forward(family)
  }

  #forward(family: 4 | 6): void {
    const { sysctls, drift } = this.#options
    const path = forwarding[family]
    if (sysctls.read(path) === '1') {
      this.#switchedOn.add(path)
      return
    }
    // A host that listens to routers would stop, and lose its default route.
    if (family === 6)
      for (const name of listeners(sysctls)) sysctls.ensure(`net/ipv6/conf/${name}/accept_ra`, '2')
    sysctls.write(path, '1')
    if (this.#switchedOn.has(path)) drift.repaired('sysctl', `set ${path} to 1`)
    this.#switchedOn.add(path)
  }
}
