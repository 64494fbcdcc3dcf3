import type { Cluster } from '../machine/cluster.ts'
import { imageNames } from '../tools/images.ts'

/** The image of Kubernetes' own tests: `netexec` answers HTTP on a port. */
export const agnhost = imageNames.agnhost[0]
export const httpPort = 8080

export type PodWish = Readonly<{
  name: string
  /** Where it runs; the scheduler's choice unless said. */
  node?: string
  labels?: Readonly<Record<string, string>>
  ports?: readonly Readonly<Record<string, unknown>>[]
}>

export type LivePod = Readonly<{
  namespace: string
  name: string
  node: string
  /** IPv4, then IPv6. */
  ips: readonly string[]
}>

/** A pod that answers HTTP, as an object for the API. */
export const podObject = ({ name, node, labels, ports }: PodWish) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, labels: { app: name, ...labels } },
  spec: {
    ...(node === undefined ? {} : { nodeSelector: { 'kubernetes.io/hostname': node } }),
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: 'main',
        image: agnhost,
        imagePullPolicy: 'Never',
        args: ['netexec', `--http-port=${httpPort}`, '--udp-port=8081'],
        ports: ports ?? [{ containerPort: httpPort }],
        readinessProbe: { httpGet: { path: '/healthz', port: httpPort }, periodSeconds: 1 },
      },
    ],
  },
})

/** Creates pods and waits until all of the namespace are ready. */
export async function startPods(
  cluster: Cluster,
  namespace: string,
  wishes: readonly PodWish[],
): Promise<readonly LivePod[]> {
  const items = wishes.map(podObject)
  await cluster.put({ apiVersion: 'v1', kind: 'List', items }, namespace)
  return readyPods(cluster, namespace, 90)
}

/** Waits until every pod of the namespace is ready; their names and addresses. */
export async function readyPods(
  cluster: Cluster,
  namespace: string,
  limitSeconds: number,
): Promise<readonly LivePod[]> {
  const wait = ['wait', 'pods', '--all', '--for=condition=Ready', `--timeout=${limitSeconds}s`]
  await cluster.must(['-n', namespace, ...wait], { timeoutMs: (limitSeconds + 10) * 1000 })
  return listPods(cluster, namespace)
}

/** Every pod of the namespace as the API knows it now. */
export async function listPods(cluster: Cluster, namespace: string): Promise<readonly LivePod[]> {
  const listed = await cluster.controlPlane.list<PodObject>('-n', namespace, 'pods')
  return listed.map(({ metadata, spec, status }) => ({
    namespace,
    name: metadata.name,
    node: spec.nodeName,
    ips: (status.podIPs ?? []).map(({ ip }) => ip),
  }))
}

type PodObject = Readonly<{
  metadata: { readonly name: string }
  spec: { readonly nodeName: string }
  status: { readonly podIPs?: readonly { readonly ip: string }[] }
}>

/** host:port of a URL; an IPv6 address stands in brackets. */
export const hostPort = (host: string, port: number): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`

export type Target = Readonly<{ host: string; port: number }>
export type Answer = Target & Readonly<{ said: string }>

export const lost = 'lost'
const answerMs = 5_000

/** What each target answers to `GET /path`, asked by the pod itself: its server dials for us. */
export const answersOf = (
  cluster: Cluster,
  from: LivePod,
  targets: readonly Target[],
  path: string,
): Promise<readonly Answer[]> =>
  Promise.all(
    targets.map(async ({ host, port }) => {
      const asked = { host, port: `${port}`, request: path, protocol: 'http', tries: '1' }
      const dial = `dial?${new URLSearchParams(asked)}`
      const said = await fromOutside(cluster, { host: from.ips[0] ?? '', port: httpPort }, dial)
      return { host, port, said: said === lost ? lost : firstResponse(said) }
    }),
  )

function firstResponse(text: string): string {
  const { responses } = JSON.parse(text) as { readonly responses?: readonly string[] }
  return responses?.[0] ?? lost
}

/** The same, asked from the control plane's network, which is neither a node nor a pod. */
export async function fromOutside(
  cluster: Cluster,
  { host, port }: Target,
  path: string,
): Promise<string> {
  const url = `http://${hostPort(host, port)}/${path}`
  const words = ['/bin/busybox', 'wget', '-q', '-O', '-', url]
  const { code, stdout } = await cluster.controlPlane.run(words, { timeoutMs: answerMs })
  return code === 0 ? stdout.trim() : lost
}

export const isLost = ({ said }: Answer): boolean => said === lost

/** The address of "10.0.0.1:80" or "[fd00::1]:80". */
export const addressIn = (said: string): string => said.replace(/:\d+$/, '').replace(/[[\]]/g, '')
