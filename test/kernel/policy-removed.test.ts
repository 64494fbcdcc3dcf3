import { test } from 'tap'
import { addressBytes } from '../../src/base/address.ts'
import { toHex } from '../../src/base/bytes.ts'
import { faultsOf } from '../../src/cli/verify/shape.ts'
import { policyTable } from '../../src/datapath/policy-table.ts'
import { compareWithKernel, type Difference } from '../../src/policy/kernel-differences.ts'
import type { Cluster } from '../../src/policy/model.ts'
import { deleteElements } from '../../src/wire/nft/element-list.ts'
import type { ListedElement, ListedSet, ListedTable } from '../../src/wire/nft/listed-table.ts'
import { clusterOf, cnp, namespace, np, pod } from '../policy/objects.ts'
import { addressOf, factsOf, loadAndRead, onOneNode, reread } from './loaded-policies.ts'
import { withRoom } from './sockets.ts'

const extent = { differencesMax: 1_000, agreedMax: 0 }
const differencesIn = (cluster: Cluster, table: ListedTable): readonly Difference[] =>
  compareWithKernel(factsOf(cluster), table, extent).differences

/** Every form of set that a reach can have: whole, exact, ranges; of pods, blocks and the world. */
const cluster = withNeighbour(
  clusterOf(
    namespace('shop'),
    namespace('web'),
    pod('shop/db', { ip: ['10.244.0.2', 'fd00::2'], labels: { app: 'db' }, ports: ['5432'] }),
    pod('shop/api', { ip: ['10.244.0.3', 'fd00::3'], labels: { app: 'api' }, ports: ['8080'] }),
    pod('web/front', { ip: '10.244.0.4', labels: { app: 'front' } }),
    pod('shop/db-2', { ip: '10.244.1.2', labels: { app: 'db' }, ports: ['5432'] }),
    pod('shop/api-2', { ip: '10.244.1.3', labels: { app: 'api' }, ports: ['8080'] }),
    pod('web/front-2', { ip: '10.244.1.4', labels: { app: 'front' } }),
    pod('web/free', { ip: '10.244.0.5', labels: { app: 'free' } }),
    np('shop/db', {
      podSelector: { matchLabels: { app: 'db' } },
      ingress: [
        { from: [{ podSelector: { matchLabels: { app: 'api' } } }], ports: [{ port: 5432 }] },
        { from: [{ ipBlock: { cidr: '198.51.100.0/24', except: ['198.51.100.64/26'] } }] },
      ],
    }),
    np('shop/api', {
      podSelector: { matchLabels: { app: 'api' } },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        {
          from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'web' } } }],
          ports: [{ port: 8080, endPort: 8089 }],
        },
        { from: [{ ipBlock: { cidr: '203.0.113.0/24' } }], ports: [{ port: 443 }] },
      ],
      egress: [
        { to: [{ podSelector: {} }], ports: [{ port: 5432 }, { port: 53, protocol: 'UDP' }] },
      ],
    }),
    np('web/front', {
      podSelector: { matchLabels: { app: 'front' } },
      ingress: [{ ports: [{ port: 80 }, { port: 8000, endPort: 8001 }] }],
    }),
    cnp('web/world', {
      endpointSelector: { matchLabels: { app: 'front' } },
      egress: [
        {
          toCIDRSet: [{ cidr: '0.0.0.0/0', except: ['192.168.0.0/16'] }],
          toPorts: [{ ports: [{ port: '443', protocol: 'TCP' }] }],
        },
        { toEntities: ['cluster'] },
      ],
      egressDeny: [{ toEndpoints: [{ matchLabels: { app: 'free' } }] }],
    }),
  ),
)

/** Without one element; of a range of one part, its beginning and its end. */
const removed = (table: ListedTable, { name }: ListedSet, gone: ListedElement): ListedTable => ({
  ...table,
  sets: table.sets.map((set) =>
    set.name === name
      ? { ...set, elements: set.elements.filter((element) => element !== gone) }
      : set,
  ),
})

/** Those whose names end in -2 are on another node. */
function withNeighbour(all: Cluster): Cluster {
  const nodes = [{ name: 'n2', addresses: [addressOf('192.0.2.9')], podCIDRs: [] }]
  const here = onOneNode(all)
  const pods = here.pods.map((one) => (one.name.endsWith('-2') ? { ...one, node: 'n2' } : one))
  return { ...here, nodes, pods }
}

/** A flow is told by the names at its ends, protocol, ports, and what happens. */
const told = ({ from, to, protocol, firstPort, lastPort, kernel, policy }: Difference): string => {
  const names = (all: Difference['from']) => all.map(({ name, addresses }) => name || addresses)
  const ports = firstPort === lastPort ? `${firstPort}` : `${firstPort}-${lastPort}`
  return `${names(from).join()}>${names(to).join()} ${protocol}/${ports}: ${kernel}, ${policy}`
}

test('every element that is taken away is missed', { timeout: 300_000 }, (t) =>
  withRoom((room) => {
    const table = loadAndRead(room, cluster)
    t.same(differencesIn(cluster, table), [], 'as it was loaded')
    t.same(faultsOf(table), [])
    const sets = new Set<string>()
    for (const set of table.sets)
      for (const element of set.elements) {
        const rest = removed(table, set, element)
        const found = [...faultsOf(rest), ...differencesIn(cluster, rest)]
        const key = element.key ? toHex(element.key) : '*'
        t.not(found.length, 0, `${set.name} without ${key}`)
        sets.add(set.name.replace(/-[0-9a-f]+/, ''))
      }
    t.same([...sets].sort(), [
      'deny0-out.identities.whole',
      ...['egress4', 'egress6', 'identity4', 'identity6'],
      ...['in.anybody.exact', 'in.anybody.ranges', 'in.blocks4.ranges'],
      ...['in.identities.exact', 'in.identities.ranges'],
      ...['ingress4', 'ingress6', 'itself4', 'itself6', 'known4', 'known6'],
      ...['out.identities.exact', 'out.identities.whole', 'out.world4.ranges'],
      ...['policed4', 'policed6'],
    ])
  }),
)

const profileOf = ({ sets }: ListedTable, map: string, address: string): string => {
  const elements = sets.find(({ name }) => name === map)?.elements ?? []
  const key = toHex(addressBytes(addressOf(address)))
  const found = elements.find((element) => element.key && toHex(element.key) === key)?.verdict
  return found && 'chain' in found ? found.chain : 'none'
}

for (const row of [
  {
    why: 'a pod without a verdict is closed: what it would be sent is named, port by port',
    set: () => 'ingress4',
    isGone: hasAddress('10.244.0.2'),
    want: 'shop/api>shop/db TCP/5432: drops, allows',
  },
  {
    why: 'a peer that the kernel does not know',
    set: () => 'identity4',
    isGone: hasAddress('10.244.1.3'),
    want: 'shop/api-2>shop/db TCP/5432: drops, allows',
  },
  {
    why: 'a port of a profile, of many pods at once',
    set: (table: ListedTable) => `${profileOf(table, 'ingress4', '10.244.0.2')}.identities.exact`,
    isGone: () => true,
    want: 'shop/api-2>shop/db TCP/5432: drops, allows',
  },
  {
    why: 'a range of ports',
    set: (table: ListedTable) => `${profileOf(table, 'ingress4', '10.244.0.3')}.identities.ranges`,
    isGone: () => true,
    want: 'web/free>shop/api TCP/8080-8089: drops, allows',
  },
  {
    why: 'a block of addresses outside',
    set: (table: ListedTable) => `${profileOf(table, 'ingress4', '10.244.0.2')}.blocks4.ranges`,
    isGone: () => true,
    want:
      '198.51.100.0-198.51.100.63,198.51.100.128-198.51.100.255>shop/db ' +
      'any/0-65535: drops, allows',
  },
  {
    why: 'a deny',
    set: (table: ListedTable) =>
      `deny0-${profileOf(table, 'egress4', '10.244.0.4')}.identities.whole`,
    isGone: () => true,
    want: 'web/front>web/free any/0-65535: passes, denies',
  },
])
  test(`taken out of the kernel: ${row.why}`, (t) =>
    withRoom((room) => {
      const before = loadAndRead(room, cluster)
      const set = before.sets.find(({ name }) => name === row.set(before))
      const gone = set?.elements.filter(row.isGone) ?? []
      t.not(gone.length, 0, row.set(before))
      const plain = gone.flatMap(({ key, keyEnd }) =>
        key ? [{ key, ...(keyEnd ? { end: keyEnd } : {}) }] : [],
      )
      const name = { ...policyTable, set: row.set(before) }
      t.same(room.commit(...deleteElements(name, plain)), [])
      const found = differencesIn(cluster, reread(room)).map(told)
      t.ok(found.includes(row.want), found.join('\n'))
    }))

function hasAddress(text: string) {
  const address = toHex(addressBytes(addressOf(text)))
  return ({ key }: ListedElement): boolean => key !== undefined && toHex(key) === address
}
