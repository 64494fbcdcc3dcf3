/** What the stand-in tells of itself, enough for kubectl to find its way. */
export type Kind = { readonly plural: string; readonly kind: string; readonly namespaced: boolean }

const groups: readonly { group: string; version: string; kinds: readonly Kind[] }[] = [
  {
    group: '',
    version: 'v1',
    kinds: [
      { plural: 'nodes', kind: 'Node', namespaced: false },
      { plural: 'pods', kind: 'Pod', namespaced: true },
      { plural: 'namespaces', kind: 'Namespace', namespaced: false },
      { plural: 'events', kind: 'Event', namespaced: true },
      { plural: 'services', kind: 'Service', namespaced: true },
    ],
  },
  {
    group: 'events.k8s.io',
    version: 'v1',
    kinds: [{ plural: 'events', kind: 'Event', namespaced: true }],
  },
  {
    group: 'networking.k8s.io',
    version: 'v1',
    kinds: [{ plural: 'networkpolicies', kind: 'NetworkPolicy', namespaced: true }],
  },
  {
    group: 'cilium.io',
    version: 'v2',
    kinds: [{ plural: 'ciliumnetworkpolicies', kind: 'CiliumNetworkPolicy', namespaced: true }],
  },
]

/** Other resources are served too; their kind is their plural. */
export const kindOf = (plural: string): string =>
  groups.flatMap(({ kinds }) => kinds).find((one) => one.plural === plural)?.kind ?? plural

/** The discovery documents of an API server (meta/v1), and its version. */
export function discovery(path: string): object | undefined {
  if (path === '/version') return { major: '1', minor: '33', gitVersion: 'v1.33.0-stand-in' }
  if (path === '/api') return { kind: 'APIVersions', versions: ['v1'] }
  if (path === '/apis')
    return { kind: 'APIGroupList', apiVersion: 'v1', groups: named.map(groupOf) }
  const [, group = '', version] = /^\/(?:api|apis\/([^/]+))\/([^/]+)$/.exec(path) ?? []
  const found = groups.find((one) => one.group === group && one.version === version)
  return found && resourcesOf(found)
}

const named = groups.filter(({ group }) => group !== '')

function groupOf({ group, version }: { group: string; version: string }): object {
  const preferredVersion = { groupVersion: `${group}/${version}`, version }
  return { name: group, versions: [preferredVersion], preferredVersion }
}

const verbs = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch']

function resourcesOf({ group, version, kinds }: (typeof groups)[number]): object {
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: group === '' ? version : `${group}/${version}`,
    resources: kinds.map(({ plural, kind, namespaced }) => ({
      name: plural,
      singularName: kind.toLowerCase(),
      namespaced,
      kind,
      verbs,
    })),
  }
}
