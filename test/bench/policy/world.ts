import { addressBytes, formatAddress, parseAddress } from '../../../src/base/address.ts'
import type { Pod } from '../../../src/cluster/pod.ts'
import { policyTable } from '../../../src/datapath/policy-table.ts'
import type { LocalPod, PolicyState } from '../../../src/policy/compile.ts'
import { fromObjects } from '../../../src/policy/from-objects.ts'
import type { Policy } from '../../../src/policy/model.ts'
import type { Element } from '../../../src/wire/nft/set.ts'

// Clusters of any size, as one node's agent knows them.

export const nodeName = 'n1'
export const port = 8080

export type World = Readonly<{
  state: PolicyState & {
    readonly pods: Map<string, Pod>
    readonly policies: Map<string, readonly Policy[]>
  }
  policed: readonly Element[]
  /** One more of each, as this cluster has them. */
  policyOf: (number: number) => OneMore<readonly Policy[]>
  podOf: (number: number) => OneMore<Pod>
}>
export type OneMore<Value> = Readonly<{ key: string; value: Value }>
type Growth = Pick<World, 'policyOf' | 'podOf'>

const parsed = (text: string) => {
  const address = parseAddress(text)
  if (!address) throw new Error(`Cannot read ${text}`)
  return address
}

export const podAddress = (at: number): string =>
  `10.${64 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`

export function makePod(where: string, name: string, address: string, labels: object): Pod {
  const object = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: where, name, labels },
    spec: { nodeName: name.startsWith('local') ? nodeName : 'n2', containers: [] },
    status: { podIPs: [{ ip: address }] },
  }
  const [pod] = fromObjects([{ place: 'bench', object }]).cluster.pods
  if (!pod) throw new Error('Cannot make a pod')
  return pod
}

export function makePolicy(where: string, name: string, spec: object): readonly Policy[] {
  const object = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { namespace: where, name },
    spec,
  }
  return fromObjects([{ place: 'bench', object }]).cluster.policies
}

const ports = [{ port }, { port, protocol: 'UDP' }]

/** All are about the served pod; each lets in the pods of one label, the last one the client. */
export const policyNumber = (number: number): readonly Policy[] =>
  makePolicy('shop', `policy-${number}`, {
    podSelector: { matchLabels: { app: 'server' } },
    ingress: [{ from: [{ podSelector: { matchLabels: { client: `${number}` } } }], ports }],
  })

function worldOf(
  pods: ReadonlyMap<string, Pod>,
  policies: ReadonlyMap<string, readonly Policy[]>,
  growth: Growth,
): World {
  const local = new Map<string, LocalPod>()
  for (const pod of pods.values())
    for (const address of pod.node === nodeName ? pod.addresses : [])
      local.set(formatAddress(address), { address, pod })
  const policed = [...local.values()].map(
    ({ address }): Element => ({
      ...policyTable,
      set: `policed${address.family}`,
      key: addressBytes(address),
      comment: 'bench',
    }),
  )
  const state = {
    nodeName,
    pods: new Map(pods),
    namespaces: new Map(),
    nodes: new Map(),
    policies: new Map(policies),
    local,
  }
  return { state, policed, ...growth }
}

/**
 * The worst that policies can do to one pod: every one of them is about it. Its client is of the
 * last, and as many pods are there as the cluster has.
 */
export function onePodWorld(
  policies: number,
  pods: number,
  { server, client }: { readonly server: string; readonly client: string },
): World {
  const all = new Map<string, Pod>([
    ['shop/local-server', makePod('shop', 'local-server', server, { app: 'server' })],
    ['shop/local-client', makePod('shop', 'local-client', client, { client: `${policies - 1}` })],
  ])
  for (let at = 0; at < pods; at++)
    all.set(
      `shop/pod-${at}`,
      makePod('shop', `pod-${at}`, podAddress(at + 256), { client: `${at}` }),
    )
  const some = new Map<string, readonly Policy[]>()
  for (let number = 0; number < policies; number++)
    some.set(`NetworkPolicy shop/policy-${number}`, policyNumber(number))
  return worldOf(all, some, {
    policyOf: (number) => ({
      key: `NetworkPolicy shop/policy-${number}`,
      value: policyNumber(number),
    }),
    // One that the first policy lets in: of a label that is known, at an address that is not.
    podOf: (number) => ({
      key: `shop/pod-${number}`,
      value: makePod('shop', `pod-${number}`, podAddress(number), { client: '0' }),
    }),
  })
}

/** Of the policies of a namespace each is about one of ten applications. */
export function spreadSpec(number: number, spaces: number): object {
  const [app, peer] = [0, 1].map((step) => `app-${(Math.floor(number / spaces) + step) % 10}`)
  return {
    podSelector: { matchLabels: { app } },
    policyTypes: ['Ingress', 'Egress'],
    ingress: [
      { from: [{ podSelector: { matchLabels: { app: peer } } }], ports },
      { from: [{ ipBlock: { cidr: `172.16.${number % 256}.0/24` } }], ports: [{ port: 443 }] },
    ],
    egress: [
      { to: [{ podSelector: {} }] },
      { to: [{ namespaceSelector: {} }], ports: [{ port: 53, protocol: 'UDP' }] },
    ],
  }
}

/** As clusters are: many namespaces with some applications each, 100 of the pods on this node. */
export function spreadWorld(policies: number, pods: number): World {
  const spaces = Math.max(1, Math.round(policies / 10))
  const apps = 10
  const all = new Map<string, Pod>()
  for (let at = 0; at < pods; at++) {
    const where = `ns-${at % spaces}`
    const name = `${at % Math.max(1, Math.round(pods / 100)) === 0 ? 'local' : 'pod'}-${at}`
    const labels = { app: `app-${Math.floor(at / spaces) % apps}`, replica: `${at % 3}` }
    all.set(`${where}/${name}`, makePod(where, name, podAddress(at + 256), labels))
  }
  const policyOf = (number: number): OneMore<readonly Policy[]> => {
    const where = `ns-${number % spaces}`
    const spec = spreadSpec(number, spaces)
    const name = `policy-${number}`
    return { key: `NetworkPolicy ${where}/${name}`, value: makePolicy(where, name, spec) }
  }
  const some = Array.from({ length: policies }, (_, number) => policyOf(number))
  // Where this node's pods are: what comes elsewhere changes nothing here.
  return worldOf(all, new Map(some.map(({ key, value }) => [key, value])), {
    policyOf: (number) => policyOf(number * spaces),
    podOf: (number) => {
      const labels = { app: `app-${number % apps}`, replica: `${number % 3}` }
      const value = makePod('ns-0', `pod-${number}`, podAddress(number), labels)
      return { key: `ns-0/pod-${number}`, value }
    },
  })
}

export const addressOf = parsed
