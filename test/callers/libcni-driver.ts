import { fileURLToPath } from 'node:url'
import type { Json } from '../support/cni.ts'
import { type Netns, run } from '../support/netns.ts'

/** One call of upstream's library; the fields are those of libcni/main.go. */
export type Call = Readonly<{
  do:
    | 'add'
    | 'check'
    | 'del'
    | 'gc'
    | 'status'
    | 'validate'
    | 'version'
    | 'cached-result'
    | 'cached-attachments'
  container?: string
  netns?: string
  ifname?: string
  args?: readonly (readonly [string, string])[]
  capabilities?: Json
  valid?: readonly Readonly<{ containerID: string; ifname: string }>[]
  plugin?: string
}>

export type Fault = Readonly<{ text: string; code: number; details?: string }>
export type Answer = Readonly<{ do: string; error?: Fault; answer?: unknown }>

export type Job = Readonly<{
  node: Netns
  pluginDir: string
  cacheDir: string
  conflist: Json
  calls: readonly Call[]
  order?: 'sequence' | 'together'
}>

/** Builds the driver; Go's build cache makes every build but the first a matter of a second. */
export function buildDriver(path: string): string {
  const source = fileURLToPath(new URL('./libcni', import.meta.url))
  const build = ['go', '-C', source, 'build', '-trimpath', '-buildvcs=false', '-o', path, '.']
  const done = run(build, { timeoutMs: 300_000 })
  if (done.code !== 0) throw new Error(`Cannot build the libcni driver: ${done.stderr}`)
  return path
}

/** Makes the calls from inside the node's namespace, as a runtime on that node would. */
export function drive(driver: string, job: Job): readonly Answer[] {
  const input = JSON.stringify({
    pluginDirs: [job.pluginDir],
    cacheDir: job.cacheDir,
    conflist: job.conflist,
    order: job.order ?? 'sequence',
    calls: job.calls,
  })
  const ran = job.node.exec([driver], { input, timeoutMs: 120_000 })
  if (ran.code !== 0) throw new Error(`The libcni driver failed: ${ran.stderr}${ran.stdout}`)
  return JSON.parse(ran.stdout) as readonly Answer[]
}
