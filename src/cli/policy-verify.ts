import {
  type Address,
  addressFromBytes,
  addressKey,
  formatAddress,
  sameAddress,
} from '../base/address.ts'
import { policedSets, policyTable } from '../datapath/policy-table.ts'
import type { Native } from '../kernel/native.ts'
import { readTable } from '../kernel/policy-reader.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import { compareWithKernel } from '../policy/kernel-differences.ts'
import type { Cluster } from '../policy/model.ts'
import type { ListedTable } from '../wire/nft/listed-table.ts'
import { aboutSources, clusterOf, sourceOptions } from './cluster-source.ts'
import { type Command, type Desk, jsonOption, textOf as optionOf } from './command.ts'
import { probe } from './verify/probe.ts'
import { isWell, jsonOf, type Report, textOf } from './verify/report.ts'
import { type Fault, faultsOf } from './verify/shape.ts'

export const policyVerify: Command = {
  name: 'policy verify',
  summary: "Hold what this node's kernel enforces against what the policies say",
  about: [
    'Reads nftables table inet tulle-policy back from the kernel, follows packets through its',
    'rules for every pod of this node, every peer, protocol and port that the rules or the',
    'policies tell apart, and tells of every flow on which they differ. Needs root.',
    '',
    ...aboutSources,
    'Exit code 1: kernel and policies differ. Exit code 2: the policies cannot be read.',
  ],
  options: {
    ...sourceOptions,
    node: {
      type: 'string',
      value: 'NAME',
      text: "this node's name (default: the Node with an address of this host)",
    },
    probe: {
      type: 'boolean',
      text: "open TCP connections out of pods' namespaces: on what differs, and on some more",
    },
    json: jsonOption,
  },
  run: async (desk) => {
    const cluster = await clusterOf(desk)
    const report = await verify(cluster, desk)
    desk.print(desk.values.json === true ? jsonOf(report) : textOf(report, desk))
    return isWell(report) ? 0 : 1
  },
}

/** What nobody reads to the end is not looked for. */
const differencesMax = 10_000
const agreedMax = 10

async function verify(cluster: Cluster, desk: Desk): Promise<Report> {
  const native = desk.loadNative()
  const found = readTable(native, policyTable)
  const table: ListedTable = found ?? { chains: [], rules: [], sets: [] }
  const localAddresses = addressesOfHost(native)
  const node = optionOf(desk.values, 'node') ?? nodeWith(localAddresses, cluster)
  const policed = policedIn(table)
  const facts = { cluster, localAddresses, policed: policed.map(({ address }) => address) }
  const comparison = compareWithKernel(
    { ...facts, ...(node === undefined ? {} : { node }) },
    table,
    {
      differencesMax,
      agreedMax,
    },
  )
  const faults: readonly Fault[] = found
    ? faultsOf(table)
    : [{ kind: 'no-table', text: 'nftables table inet tulle-policy is not there' }]
  return {
    node,
    pods: policed.length,
    comparison,
    faults: [
      ...faults,
      ...comparison.unknown.map((text) => ({ kind: 'unknown-rule' as const, text })),
    ],
    notes: notesOf(policed, cluster),
    probed: desk.values.probe === true ? await probe(native, comparison) : [],
  }
}

function addressesOfHost(native: Native): readonly Address[] {
  const host = new RouteSocket(native, -1, 'the host')
  try {
    return [...host.allAddresses().values()].flat().map(({ address }) => address)
  } finally {
    host.close()
  }
}

const nodeWith = (local: readonly Address[], { nodes }: Cluster): string | undefined =>
  nodes.find(({ addresses }) => addresses.some((one) => local.some((it) => sameAddress(one, it))))
    ?.name

type Policed = { readonly address: Address; readonly attachment: string }

const policedIn = ({ sets }: ListedTable): readonly Policed[] =>
  sets
    .filter(({ name }) => policedSets.includes(name))
    .flatMap(({ elements }) =>
      elements.flatMap(({ key, comment }) => {
        const address = key && addressFromBytes(key)
        return address ? [{ address, attachment: comment ?? 'no attachment' }] : []
      }),
    )

/** Who is not in the cluster has no policies: what becomes of their packets is not looked at. */
function notesOf(policed: readonly Policed[], { pods }: Cluster): readonly string[] {
  const known = new Set(pods.flatMap(({ addresses }) => addresses.map(addressKey)))
  return policed
    .filter(({ address }) => !known.has(addressKey(address)))
    .map(
      ({ address, attachment }) =>
        `${formatAddress(address)} (${attachment}) is no pod's that the policies know of`,
    )
}
