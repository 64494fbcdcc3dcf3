import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'

/** How to reach an API server and who we are there: all of it read, nothing left to run. */
export type ApiAccess = {
  /** "https://10.0.0.1:6443", without a slash at its end. */
  readonly server: string
  /** PEM; left out, the system's own authorities. */
  readonly ca?: string
  readonly skipVerify: boolean
  /** Name to find in the server's certificate, where it is not the host of `server`. */
  readonly serverName?: string
  /** PEM, both. */
  readonly client?: { readonly certificate: string; readonly key: string }
  readonly token?: string
  /** For people: "kubeconfig /etc/tulle/kubeconfig, context admin". */
  readonly source: string
}

/** The credentials can't be used: what was tried, what was found, what to do. */
export class CredentialsRefusal extends Error {
  override name = 'CredentialsRefusal'
}

export type Environment = { readonly [name: string]: string | undefined }

/** Where kubelet mounts the token of a pod's service account. */
export const serviceAccountDirectory = '/var/run/secrets/kubernetes.io/serviceaccount'

/** A pod's own access: the service's address from the environment, token and ca.crt from files. */
export function readServiceAccount(environment: Environment, directory: string): ApiAccess {
  const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '443' } = environment
  const name = isIP(host) === 6 ? `[${host}]` : host
  const server = `https://${name}:${port}`
  if (host === '' || !URL.canParse(server))
    throw new CredentialsRefusal(
      `Cannot use the pod's service account: KUBERNETES_SERVICE_HOST is "${host}" and ` +
        `KUBERNETES_SERVICE_PORT "${port}"; they must be a host and a port`,
    )
  const token = readCredential(join(directory, 'token'), "the service account's token").trim()
  if (token === '')
    throw new CredentialsRefusal(
      `Cannot use the pod's service account: ${join(directory, 'token')} is empty; see whether ` +
        'automountServiceAccountToken is off',
    )
  const ca = readCredential(join(directory, 'ca.crt'), "the cluster's authority")
  return { server, ca, skipVerify: false, token, source: `service account in ${directory}` }
}

/** One file of credentials; its refusal names the file and what it was for. */
export function readCredential(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause)
    throw new CredentialsRefusal(`Cannot read ${what}: ${found}`, { cause })
  }
}
