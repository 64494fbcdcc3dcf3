import { explainObjectProblem, type Gathered, Gathering } from '../policy/from-objects.ts'
import type { Cluster } from '../policy/model.ts'
import { type Desk, InputFault, type Option, textOf } from './command.ts'
import { kubeconfigOption, LiveCluster, type LiveKind, liveKinds } from './live-cluster.ts'
import { readManifests } from './manifests.ts'

const clusterOption: Option = {
  type: 'boolean',
  text: 'read the cluster, also where files are given',
}
const fromOption: Option = {
  type: 'string',
  value: 'DIR',
  text: 'folder of manifests (*.yaml, *.yml, *.json), or one file',
}

/** Of commands about one cluster. */
export const sourceOptions = {
  from: fromOption,
  kubeconfig: kubeconfigOption,
  cluster: clusterOption,
} as const satisfies Readonly<Record<string, Option>>
/** Of commands that take their manifests as operands. */
export const comparedOptions = { kubeconfig: kubeconfigOption, cluster: clusterOption } as const

export const aboutSources = [
  'Reads Namespace, Pod (with status.podIPs and container ports), Node, Service,',
  'NetworkPolicy and CiliumNetworkPolicy: from files, Lists and several documents too; from',
  'the cluster where no files are given; from both with --from and --cluster (or',
  '--kubeconfig): a file then takes the place of the object of its kind and name.',
]

/** Of a command that looks at nothing else. */
export const aboutNoRoot = 'Needs no root. Exit code 2: they cannot be read, or not be used.'

/**
 * The cluster that the options name. What is refused of a policy and what is left out goes to
 * stderr; what an API server would not take is a fault, all of it told.
 */
export async function clusterOf(desk: Desk): Promise<Cluster> {
  const [gathered] = await gatherEach([sideOf(desk)], policyKinds, desk)
  if (!gathered) throw new Error('Cannot gather one cluster')
  remark(gathered, desk)
  return gathered.cluster
}

/** As `clusterOf`, with Services and everything that was found, of which nothing is told yet. */
export async function gatheredOf(desk: Desk): Promise<Gathered> {
  const kinds = [...policyKinds, liveKinds.services]
  const [gathered] = await gatherEach([sideOf(desk)], kinds, desk)
  if (!gathered) throw new Error('Cannot gather one cluster')
  return gathered
}

const { namespaces, pods, nodes, networkPolicies, ciliumPolicies } = liveKinds
/** What verdicts depend on. */
const policyKinds: readonly LiveKind[] = [namespaces, pods, nodes, networkPolicies, ciliumPolicies]

function sideOf({ values }: Desk): SideOf {
  const from = textOf(values, 'from')
  return from === undefined ? 'cluster' : { from }
}

/** A cluster before and after: files, or the word "cluster". */
export async function clustersOf(
  words: readonly string[],
  desk: Desk,
): Promise<readonly Cluster[]> {
  const sides = words.map((word) => (word === 'cluster' ? word : { from: word }))
  const all = await gatherEach(sides, policyKinds, desk)
  for (const one of all) remark(one, desk)
  return all.map(({ cluster }) => cluster)
}

type SideOf = 'cluster' | { readonly from: string }

/** The cluster is read once, whatever lies over it; where it is a side, it is beneath all. */
async function gatherEach(
  sides: readonly SideOf[],
  kinds: readonly LiveKind[],
  desk: Desk,
): Promise<readonly Gathered[]> {
  const gatherings = sides.map((side) => {
    const gathering = new Gathering()
    if (side !== 'cluster') for (const one of readManifests(side.from)) gathering.add(one)
    return gathering
  })
  const { values } = desk
  const isNamed = values.cluster === true || textOf(values, 'kubeconfig') !== undefined
  if (isNamed || sides.includes('cluster')) await addCluster(gatherings, kinds, desk)
  const all = gatherings.map((gathering) => gathering.done())
  const wrong = all.flatMap(({ problems }) => problems.filter(({ kind }) => kind === 'wrong'))
  if (wrong.length > 0) throw new InputFault(wrong.map(explainObjectProblem).join('\n'))
  return all
}

async function addCluster(
  gatherings: readonly Gathering[],
  kinds: readonly LiveKind[],
  desk: Desk,
): Promise<void> {
  const live = new LiveCluster(desk)
  try {
    for (const kind of kinds)
      await live.read(kind, (manifest) => {
        for (const gathering of gatherings) gathering.addBeneath(manifest)
      })
  } finally {
    live.close()
  }
}

function remark(gathered: Gathered, desk: Desk): void {
  for (const problem of gathered.problems)
    desk.remark(`refused: ${explainObjectProblem(problem)}\n`)
  remarkNotes(gathered, desk)
}

/** What was left out on purpose. */
export function remarkNotes({ notes }: Gathered, desk: Desk): void {
  for (const note of notes) desk.remark(`note: ${note}\n`)
}
