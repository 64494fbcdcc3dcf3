import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'

/** One step of the truth table; test/data/README.md. */
export type Step = Readonly<{
  Case: number
  Step: number
  Desc: string
  Namespaces: Readonly<Record<string, Readonly<Record<string, string>>>>
  Pods: readonly Readonly<{
    Ns: string
    Name: string
    IP: string
    Labels: Readonly<Record<string, string>>
    Ports: readonly Readonly<{ name: string; port: number; protocol: string }>[]
  }>[]
  Policies: readonly Readonly<{ metadata: { name: string; namespace: string }; spec: unknown }>[]
  Allowed: Readonly<Record<string, readonly string[]>>
  Probed: Readonly<Record<string, number>>
}>

export const steps = (): readonly Step[] =>
  gunzipSync(readFileSync(new URL('../data/np-truth.jsonl.gz', import.meta.url)))
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Step)

/** As somebody would have them in files. */
export const objectsOf = ({ Namespaces, Pods, Policies }: Step): readonly object[] => [
  ...Object.entries(Namespaces).map(([name, labels]) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels },
  })),
  ...Pods.map(({ Ns, Name, IP, Labels, Ports }) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: Ns, name: Name, labels: Labels },
    spec: {
      containers: [{ ports: Ports.map(({ port, ...rest }) => ({ ...rest, containerPort: port })) }],
    },
    status: { podIPs: [{ ip: IP }] },
  })),
  ...Policies.map((policy) => ({
    ...policy,
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
  })),
]

/** "x/a>y/b TCP/80", sorted; pairs of a pod with itself left out. */
export const allowedIn = ({ Allowed, Probed }: Step): readonly string[] =>
  Object.keys(Probed)
    .flatMap((port) => (Allowed[port] ?? []).map((pair) => ({ port, pair })))
    .filter(({ pair }) => new Set(pair.split('>')).size === 2)
    .map(({ port, pair }) => `${pair} ${port}`)
    .sort()
