import { type FSWatcher, watch } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { podKey } from '../cluster/pod.ts'
import { ManifestFault, readManifests } from '../kube/manifest-files.ts'
import type { ReadPolicy } from '../kube/policy-feeds.ts'
import {
  explainObjectProblem,
  fromObjects,
  type Gathered,
  type Manifest,
} from '../policy/from-objects.ts'
import type { Clock } from './clock.ts'
import { type PolicyBook, type PolicyKind, policyKinds } from './policy-book.ts'
import type { PolicySourceRun } from './policy-feeds.ts'

/** Editors and kubectl-like tools write in several steps: what is there after the last counts. */
const settleMilliseconds = 50
/** For what inotify does not tell: folders within, network file systems, a folder replaced. */
const pollMilliseconds = 2_000

/** Fills the book from a folder of manifests, and again when they change. */
export function openPolicyFiles(
  folder: string,
  book: PolicyBook,
  { clock, onLooked }: { readonly clock: Clock; readonly onLooked: () => void },
): PolicySourceRun {
  let seen: readonly Manifest[] | undefined
  let fault: ManifestFault | undefined
  let odd: readonly string[] = []
  let cancelSettle = (): void => undefined
  let cancelPoll = (): void => undefined
  let watcher: FSWatcher | undefined

  const look = (): void => {
    try {
      const manifests = readManifests(folder)
      fault = undefined
      if (isDeepStrictEqual(manifests, seen)) return
      seen = manifests
      const gathered = fromObjects(manifests)
      odd = oddObjects(gathered)
      tell(book, gathered)
      onLooked()
    } catch (refusal) {
      if (!(refusal instanceof ManifestFault)) throw refusal
      const isNew = fault?.message !== refusal.message
      fault = refusal
      if (isNew) onLooked()
    }
  }
  const settle = (): void => {
    cancelSettle()
    cancelSettle = clock.after(settleMilliseconds, look)
  }
  const watchFolder = (): void => {
    if (watcher) return
    try {
      watcher = watch(folder, settle)
      watcher.on('error', () => {
        watcher?.close()
        watcher = undefined
      })
    } catch {
      // Not there, or out of inotify watches: polling goes on, and tries this again.
    }
  }
  const poll = (): void => {
    watchFolder()
    look()
    cancelPoll = clock.after(pollMilliseconds, poll)
  }
  poll()
  return {
    problems: () => [...(fault ? [fault.message] : []), ...odd],
    close: async () => {
      cancelSettle()
      cancelPoll()
      watcher?.close()
    },
  }
}

/** What is wrong with others than policies, which have findings of their own. */
const oddObjects = ({ problems }: Gathered): readonly string[] =>
  problems
    .filter(({ object }) => !policyKinds.some((kind) => object.startsWith(`${kind} `)))
    .map(explainObjectProblem)

/** No policies and no pods: for a node port guard alone. */
export function openNoPolicies(book: PolicyBook): PolicySourceRun {
  tell(book, fromObjects([]))
  return { problems: () => [], close: async () => undefined }
}

function tell(book: PolicyBook, gathered: Gathered): void {
  const { pods, namespaces } = gathered.cluster
  book.hearNamespaces({ kind: 'all', items: namespaces })
  book.hearPods({ kind: 'all', items: new Map(pods.map((pod) => [podKey(pod), pod])) })
  for (const kind of policyKinds)
    book.hearPolicies(kind, { kind: 'all', items: policiesOf(kind, gathered) })
}

function policiesOf(
  kind: PolicyKind,
  { cluster, problems }: Gathered,
): ReadonlyMap<string, ReadPolicy> {
  const ofKind = Map.groupBy(
    cluster.policies.filter((policy) => policy.kind === kind),
    ({ namespace, name }) => `${namespace}/${name}`,
  )
  const odd = Map.groupBy(
    problems.filter(({ object }) => object.startsWith(`${kind} `)),
    ({ object }) => object.slice(kind.length + 1),
  )
  return new Map(
    [...new Set([...ofKind.keys(), ...odd.keys()])].map((key) => [
      key,
      {
        policies: ofKind.get(key) ?? [],
        problems: (odd.get(key) ?? []).map(({ place: _, object: __, ...problem }) => problem),
        uid: '',
      },
    ]),
  )
}
