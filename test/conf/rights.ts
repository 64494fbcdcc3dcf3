import type { Need } from '../../src/kube/access.ts'
import type { KubeObject } from './pod-container.ts'

type Rule = {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly verbs: readonly string[]
}

/** What a role gives, one line a right: "list networking.k8s.io networkpolicies". */
export const rightsOf = (role: KubeObject): readonly string[] =>
  (role.rules as readonly Rule[])
    .flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((name) => verbs.map((verb) => `${verb} ${group} ${name}`)),
      ),
    )
    .toSorted()

export type Rights = {
  /** Of the ClusterRole. */
  readonly everywhere: readonly string[]
  /** Of the Role in the namespace "default": what may be done everywhere is not said again. */
  readonly inDefault: readonly string[]
}

/** What roles have to give to an agent that asks for this. */
export function rightsFor(needs: readonly Need[]): Rights {
  const everywhere = linesOf(needs.filter(({ namespace }) => namespace === undefined))
  const inDefault = linesOf(needs.filter(({ namespace }) => namespace === 'default'))
  return { everywhere, inDefault: inDefault.filter((right) => !everywhere.includes(right)) }
}

const linesOf = (needs: readonly Need[]): readonly string[] => {
  const lines = needs.map(({ verb, resource: { group, plural }, subresource }) => {
    const name = subresource === undefined ? plural : `${plural}/${subresource}`
    return `${verb} ${group} ${name}`
  })
  return [...new Set(lines)].toSorted()
}

/** Of all objects of an installation. */
export function rightsIn(objects: readonly KubeObject[]): Rights {
  const ofKind = (kind: string) => objects.filter((object) => object.kind === kind)
  const inDefault = ofKind('Role').filter(({ metadata }) => metadata.namespace === 'default')
  return {
    everywhere: ofKind('ClusterRole').flatMap(rightsOf),
    inDefault: inDefault.flatMap(rightsOf),
  }
}
