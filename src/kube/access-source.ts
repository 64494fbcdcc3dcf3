import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type ApiAccess,
  CredentialsRefusal,
  type Environment,
  readServiceAccount,
  serviceAccountDirectory,
} from './credentials.ts'
import { readKubeconfig } from './kubeconfig.ts'

/** Reads everything anew each time: tokens and certificates rotate. */
export type AccessSource = () => ApiAccess

/**
 * The named kubeconfig, else the one of KUBECONFIG, else the pod's service account. Throws
 * CredentialsRefusal if none of them is named; what is in the files shows when the source is asked.
 */
export function findAccess(given: {
  readonly kubeconfig?: string | undefined
  readonly environment: Environment
}): AccessSource {
  const path = given.kubeconfig ?? given.environment.KUBECONFIG
  if (path !== undefined && path !== '') return () => readKubeconfig(path)
  const ofPod = (): Environment => withFiles(given.environment)
  if (ofPod().KUBERNETES_SERVICE_HOST)
    return () => readServiceAccount(ofPod(), serviceAccountDirectory)
  throw new CredentialsRefusal(
    'Cannot find the Kubernetes API: no kubeconfig is named, KUBECONFIG is not set and this is ' +
      'no pod (KUBERNETES_SERVICE_HOST is not set); name a kubeconfig, or use a nodes file',
  )
}

/**
 * Files named after variables outdo them: a ConfigMap as a volume stays there while the API is
 * away, where the kubelet could not even start a container again that has it as environment.
 */
function withFiles(environment: Environment): Environment {
  const folder = environment.TULLE_API_SERVER_DIR
  if (folder === undefined) return environment
  const found = ['KUBERNETES_SERVICE_HOST', 'KUBERNETES_SERVICE_PORT'].flatMap((name) => {
    const path = join(folder, name)
    return existsSync(path) ? [[name, readFileSync(path, 'utf8').trim()]] : []
  })
  return { ...environment, ...Object.fromEntries(found) }
}

/** kubelet renews a token when 80 % of its hour is over; its file is worth a look this often. */
const freshMs = 10_000

/** Credentials that are read again every 10 s at most, and whenever the server refuses them. */
export class RotatingAccess {
  readonly #source: AccessSource
  readonly #nowMs: () => number
  #access: ApiAccess | undefined
  #readAtMs = 0

  constructor(source: AccessSource, nowMs: () => number) {
    this.#source = source
    this.#nowMs = nowMs
  }

  /** Throws CredentialsRefusal if they could never be read; later, the last ones stay good. */
  now(): ApiAccess {
    if (this.#access !== undefined && this.#nowMs() - this.#readAtMs < freshMs) return this.#access
    return this.#read()
  }

  /** After a 401: what is there now, if it is anything else than what was refused. */
  renewed(refused: ApiAccess): ApiAccess | undefined {
    const access = this.#read()
    return sameAccess(access, refused) ? undefined : access
  }

  #read(): ApiAccess {
    this.#readAtMs = this.#nowMs()
    try {
      const access = this.#source()
      // One object as long as nothing changes: connections are kept by it.
      if (!this.#access || !sameAccess(access, this.#access)) this.#access = access
    } catch (refusal) {
      // A file that is just being replaced must not stop what works.
      if (this.#access === undefined) throw refusal
    }
    return this.#access
  }
}

const sameAccess = (left: ApiAccess, right: ApiAccess): boolean =>
  left.token === right.token && sameConnection(left, right)

/** Whether a connection of the one serves the other: all but the token, which requests carry. */
export const sameConnection = (left: ApiAccess, right: ApiAccess): boolean =>
  left.server === right.server &&
  left.ca === right.ca &&
  left.skipVerify === right.skipVerify &&
  left.serverName === right.serverName &&
  left.client?.certificate === right.client?.certificate &&
  left.client?.key === right.client?.key
