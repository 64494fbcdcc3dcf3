import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ApiServer } from '../support/api-server.ts'
import type { ApiObject } from '../support/api-store.ts'
import { executable } from '../support/cni.ts'
import { type Ran, runLater } from '../support/netns.ts'

/** The tool as a person starts it beside a cluster. */
export type Live = {
  readonly api: ApiServer
  readonly folder: string
  readonly kubeconfig: string
  /** Puts objects there; returns them as they are stored. */
  readonly put: (...objects: readonly object[]) => readonly ApiObject[]
  readonly write: (name: string, text: string) => string
  /** With a HOME that has no kubeconfig, unless it is said otherwise. */
  readonly tool: (words: readonly string[], env?: Readonly<Record<string, string>>) => Promise<Ran>
}

const plurals: Readonly<Record<string, string>> = {
  Namespace: '/namespaces',
  Pod: '/pods',
  Node: '/nodes',
  Service: '/services',
  NetworkPolicy: 'networking.k8s.io/networkpolicies',
  CiliumNetworkPolicy: 'cilium.io/ciliumnetworkpolicies',
}

export async function withLive(use: (live: Live) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tt-live-'))
  const api = new ApiServer()
  await api.listen()
  const write = (name: string, text: string): string => {
    const path = join(folder, name)
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(path, text)
    return path
  }
  const kubeconfig = write('kubeconfig', kubeconfigOf(api.url))
  try {
    await use({
      api,
      folder,
      kubeconfig,
      write,
      put: (...objects) => objects.map((object) => put(api, object as ApiObject)),
      tool: (words, env = {}) =>
        runLater([executable, ...words], {
          env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: folder, ...env },
        }),
    })
  } finally {
    await api.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Items of a real list of a built-in kind bear neither kind nor version. */
function put({ store }: ApiServer, { kind, apiVersion, ...rest }: ApiObject): ApiObject {
  const collection = plurals[kind ?? '']
  if (collection === undefined) throw new Error(`Cannot store a ${kind}`)
  const isCustom = kind === 'CiliumNetworkPolicy'
  const object = isCustom ? { ...rest, kind, apiVersion } : rest
  return store.put(collection, object as ApiObject).object
}

export const kubeconfigOf = (server: string): string =>
  [
    'apiVersion: v1\nkind: Config\ncurrent-context: a',
    'contexts: [{ name: a, context: { cluster: a } }]',
    `clusters: [{ name: a, cluster: { server: "${server}" } }]\n`,
  ].join('\n')
