import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { parse } from 'yaml'
import { imageName } from '../../conf/image/build.ts'
import { renderManifest } from '../../conf/render.ts'
import { readConfig } from '../../src/agent/config.ts'
import { need } from '../../src/kube/access.ts'
import { confPath, type KubeObject, manifestObjects, podSpec } from './pod-container.ts'

const one = (kind: string, name: string): KubeObject => {
  const found = manifestObjects().find(
    (object) => object.kind === kind && object.metadata.name === name,
  )
  if (!found) throw new Error(`The manifest has no ${kind} ${name}`)
  return found
}

test('the manifest is the base of kustomize, file by file', (t) => {
  t.equal(readFileSync(confPath('tulle.yaml'), 'utf8'), renderManifest())
  t.end()
})

type Rule = {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly verbs: readonly string[]
}

/** "patch  nodes/status", "list networking.k8s.io networkpolicies" */
const rightsOf = (role: KubeObject): readonly string[] =>
  (role.rules as readonly Rule[])
    .flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((name) => verbs.map((verb) => `${verb} ${group} ${name}`)),
      ),
    )
    .toSorted()

test('the roles give what the agent asks for, and nothing else', (t) => {
  const cluster = new Set<string>()
  const inDefault = new Set<string>()
  for (const wish of Object.values<(typeof need)[keyof typeof need] & Partial<Need>>(need)) {
    const { verb, resource, subresource, namespace } = wish
    const name = subresource === undefined ? resource.plural : `${resource.plural}/${subresource}`
    const right = `${verb} ${resource.group} ${name}`
    if (namespace === undefined) cluster.add(right)
    else inDefault.add(right)
  }
  t.same(rightsOf(one('ClusterRole', 'tulle')), [...cluster].toSorted())
  const role = one('Role', 'tulle-events')
  t.equal(role.metadata.namespace, 'default')
  // What may be done in every namespace may be done there.
  t.same(
    rightsOf(role),
    [...inDefault].filter((right) => !cluster.has(right)),
  )
  for (const kind of ['ClusterRoleBinding', 'RoleBinding'])
    t.match(one(kind, kind === 'RoleBinding' ? 'tulle-events' : 'tulle'), {
      subjects: [{ kind: 'ServiceAccount', name: 'tulle', namespace: 'tulle-system' }],
    })
  t.end()
})
type Need = { readonly subresource: string; readonly namespace: string }

const agentYaml = (): string => {
  const { data } = one('ConfigMap', 'tulle') as unknown as { readonly data: Record<string, string> }
  return data['agent.yaml'] ?? ''
}

test('the agent takes its configuration, and pods are told of a change', (t) => {
  const sources = [{ from: 'the ConfigMap', values: parse(agentYaml()) as unknown }]
  const read = readConfig(sources, { nodeNameVariable: 'node-1', hostname: 'node-1' })
  t.match(read, {
    kind: 'config',
    config: { source: { kind: 'in-cluster' }, conflist: '/etc/cni/net.d/10-tulle.conflist' },
  })
  const sum = createHash('sha256').update(agentYaml()).digest('hex')
  t.match(one('DaemonSet', 'tulle'), {
    spec: { template: { metadata: { annotations: { 'tulle.dev/config': sum } } } },
  })
  t.end()
})

test('what the agent writes is mounted where its defaults are', (t) => {
  const read = readConfig([], { nodeNameVariable: 'node-1', hostname: 'node-1' })
  if (read.kind !== 'config') throw new Error('The defaults are wrong')
  const { binDir, dataDir, stateDir, runDir, conflist = '' } = read.config
  const [{ volumeMounts }] = podSpec().containers
  const writable = volumeMounts.filter(({ readOnly }) => readOnly !== true)
  for (const path of [binDir, dataDir, stateDir, runDir, conflist])
    t.ok(
      writable.some(({ mountPath }) => path === mountPath || path.startsWith(`${mountPath}/`)),
      path,
    )
  t.end()
})

test('the image is the one that conf/image/build.ts makes', (t) => {
  t.match(podSpec().containers, [{ image: imageName() }])
  t.match(readFileSync(confPath('image/Dockerfile'), 'utf8'), imageName())
  t.end()
})
