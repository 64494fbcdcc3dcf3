import type { Environment } from '../cni/environment.ts'
import { code, fault } from '../cni/fault.ts'
import type { CniVersion } from '../cni/version.ts'
import { isAtLeast } from '../cni/version.ts'

type Asked = {
  readonly config: { readonly cniVersion: CniVersion }
  readonly environment: Pick<Environment, 'verb'>
}

/** Refuses a verb that the configuration's version does not have yet. */
export function refuseOlder({ config, environment }: Asked, since: '0.4.0' | '1.1.0'): void {
  if (isAtLeast(config.cniVersion, since)) return
  throw fault(
    code.incompatibleVersion,
    `config version does not allow ${environment.verb}`,
    `${environment.verb} came with CNI ${since}, the configuration is ${config.cniVersion}`,
  )
}

export const checkFault = (found: readonly string[]): Error =>
  fault(
    code.checkFailed,
    "the pod's network is not as ADD left it",
    `${found.join('; ')}; delete the pod and let it be made again`,
  )
