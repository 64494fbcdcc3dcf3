import { Buffer } from 'node:buffer'
import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import { at, fieldOf, isObject, type JsonObject, listOf, shown } from '../cluster/json-value.ts'
import { type ApiAccess, CredentialsRefusal, readCredential } from './credentials.ts'

// clientcmd/v1 Config (k8s.io/client-go/tools/clientcmd/api/v1): the parts of it that need no other
// program.

/**
 * Reads a kubeconfig's current context and every file that it names. Throws CredentialsRefusal,
 * which names the key.
 */
export function readKubeconfig(path: string): ApiAccess {
  const config = parseYaml(readCredential(path, 'the kubeconfig'), path)
  const context = fieldOf(config, 'current-context')
  const refuse = (found: string): never => {
    throw new CredentialsRefusal(`Cannot use kubeconfig ${path}: ${found}`)
  }
  if (typeof context !== 'string' || context === '')
    return refuse('it has no current-context; set one (kubectl config use-context)')
  const pick = (list: string, kind: string, name: unknown): JsonObject => {
    const entry = listOf(fieldOf(config, list)).find((one) => fieldOf(one, 'name') === name)
    const value = fieldOf(entry, kind)
    return isObject(value) ? value : refuse(`${list} has no ${kind} named ${shown(name)}`)
  }
  const chosen = pick('contexts', 'context', context)
  const reader = new ConfigReader(dirname(path), refuse)
  const { cluster, user } = chosen
  return {
    ...reader.cluster(pick('clusters', 'cluster', cluster), `cluster ${shown(cluster)}`),
    // A context without a user is anonymous.
    ...(user === undefined || user === ''
      ? {}
      : reader.user(pick('users', 'user', user), `user ${shown(user)}`)),
    source: `kubeconfig ${path}, context ${context}`,
  }
}

function parseYaml(text: string, path: string): unknown {
  try {
    return parse(text)
  } catch (cause) {
    const found = cause instanceof Error ? cause.message.split('\n')[0] : String(cause)
    throw new CredentialsRefusal(`Cannot read kubeconfig ${path}: ${found}`, { cause })
  }
}

type Refuse = (found: string) => never

/** Reads entries of a kubeconfig; paths in it are relative to its own folder. */
class ConfigReader {
  readonly #directory: string
  readonly #refuse: Refuse

  constructor(directory: string, refuse: Refuse) {
    this.#directory = directory
    this.#refuse = refuse
  }

  cluster(
    cluster: JsonObject,
    name: string,
  ): Pick<ApiAccess, 'server' | 'skipVerify' | 'ca' | 'serverName'> {
    const server = this.#text(cluster, 'server', name) ?? ''
    if (!/^https?:$/.test(URL.parse(server)?.protocol ?? ''))
      this.#refuse(`server of ${name} is ${shown(server)}; it must be an http(s) address`)
    if (this.#text(cluster, 'proxy-url', name) !== undefined)
      this.#refuse(`${name} has a proxy-url; the API must be reachable without a proxy`)
    const skip = cluster['insecure-skip-tls-verify']
    if (skip !== undefined && typeof skip !== 'boolean')
      this.#refuse(`insecure-skip-tls-verify of ${name} is ${shown(skip)}; true or false`)
    const ca = this.#content(cluster, 'certificate-authority', name)
    const serverName = this.#text(cluster, 'tls-server-name', name)
    return {
      server: server.replace(/\/+$/, ''),
      skipVerify: skip === true,
      ...(ca === undefined ? {} : { ca }),
      ...(serverName === undefined ? {} : { serverName }),
    }
  }

  user(user: JsonObject, name: string): Pick<ApiAccess, 'client' | 'token'> {
    for (const [key, why] of unsupported)
      if (user[key] !== undefined) this.#refuse(`${name} has ${key}; ${why}`)
    const certificate = this.#content(user, 'client-certificate', name)
    const key = this.#content(user, 'client-key', name)
    if ((certificate === undefined) !== (key === undefined))
      this.#refuse(`${name} has one of client-certificate and client-key; it needs both`)
    const token = this.#token(user, name)
    return {
      ...(certificate === undefined || key === undefined ? {} : { client: { certificate, key } }),
      ...(token === undefined ? {} : { token }),
    }
  }

  /** The file wins over the text, as in client-go: it is the one that rotates. */
  #token(user: JsonObject, name: string): string | undefined {
    const path = this.#text(user, 'tokenFile', name)
    if (path === undefined) return this.#text(user, 'token', name)
    const token = readCredential(this.#resolve(path), `the token of ${name}`).trim()
    return token === '' ? this.#refuse(`${path}, the tokenFile of ${name}, is empty`) : token
  }

  /** `<key>-data` is base64 in the file itself and wins over the path in `<key>`. */
  #content(entry: JsonObject, key: string, name: string): string | undefined {
    const encoded = this.#text(entry, `${key}-data`, name)
    if (encoded !== undefined) {
      const isBase64 = /^[A-Za-z0-9+/=\s]+$/.test(encoded)
      if (!isBase64) this.#refuse(`${key}-data of ${name} is not base64`)
      return Buffer.from(encoded, 'base64').toString('utf8')
    }
    const path = this.#text(entry, key, name)
    return path && readCredential(this.#resolve(path), `${key} of ${name}`)
  }

  #text(entry: JsonObject, key: string, name: string): string | undefined {
    const value = at(entry, key)
    if (value === undefined || value === null || value === '') return undefined
    return typeof value === 'string'
      ? value
      : this.#refuse(`${key} of ${name} is ${shown(value)}; it must be text`)
  }

  #resolve(path: string): string {
    return resolve(this.#directory, path)
  }
}

/** What would need another program, or what API servers no longer take. */
const unsupported: readonly (readonly [string, string])[] = [
  ['exec', 'Tulle runs no other program; use a token, tokenFile or client certificate'],
  ['auth-provider', 'Kubernetes removed it; use a token, tokenFile or client certificate'],
  ['username', 'API servers no longer take passwords; use a token or client certificate'],
  ['as', 'it acts as itself only; make a service account with the rights it needs'],
]
