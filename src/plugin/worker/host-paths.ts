import { readFileSync } from 'node:fs'
import { dirname } from 'node:path/posix'
import { allowlistFile } from '../../cni/allowlist.ts'
import { type Call, dataDirOf, delegateOf } from '../context.ts'
import { hostLocalFolder } from '../host-local.ts'

/**
 * Whether only a process that the runtime started can do it: it may start other plugins, and it
 * sees the host's files, of which a container has those that are mounted into it.
 */
export const needsProcess = (call: Call): boolean =>
  delegateOf(call.config) !== undefined || pathsOf(call).some(isHidden)

/** Files and folders of the host that the call may read or write. */
function pathsOf(call: Call): readonly string[] {
  const { config, plugin } = call
  const { ipam, policy, sysctl } = config
  const isTuning = plugin === 'tuning' || Object.keys(sysctl ?? {}).length > 0
  return [
    dataDirOf(config),
    dirname(hostLocalFolder(call)),
    ...(ipam?.resolvConf ? [ipam.resolvConf] : []),
    ...(policy?.runDir ? [policy.runDir] : []),
    ...(isTuning ? [allowlistFile] : []),
  ]
}

/** In a container what is the host's is told by the variable that names its /proc/sys. */
const isHidden = (path: string): boolean =>
  Boolean(process.env.TULLE_PROC_SYS) && !mountPoints().some((point) => isBelow(path, point))

const isBelow = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(`${folder}/`)

let known: readonly string[] | undefined
/** proc(5), mountinfo: the fifth field; what is mounted into a container stays while it runs. */
function mountPoints(): readonly string[] {
  known ??= readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => line.split(' ')[4] ?? [])
    .filter((point) => point !== '/')
  return known
}
