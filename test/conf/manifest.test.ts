import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { test } from 'tap'
import { parse } from 'yaml'
import { imageName, version } from '../../conf/image/build.ts'
import { renderManifest } from '../../conf/render.ts'
import { type AgentConfig, readConfig } from '../../src/agent/config.ts'
import { keys } from '../../src/agent/config-keys.ts'
import { type Need, need, neededAtStart, neededBesides } from '../../src/kube/access.ts'
import { confPath, type KubeObject, manifestObjects, objectsIn, podSpec } from './pod-container.ts'
import { rightsFor, rightsIn } from './rights.ts'

const textOf = (path: string): string => readFileSync(confPath(path), 'utf8')

function one(kind: string, name: string, objects = manifestObjects()): KubeObject {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name)
  if (!found) throw new Error(`There is no ${kind} ${name}`)
  return found
}

test('the manifest is the base of kustomize, file by file', (t) => {
  t.equal(textOf('tulle.yaml'), renderManifest())
  t.end()
})

test('the roles give what the agent asks for, and nothing else', (t) => {
  t.same(rightsIn(manifestObjects()), rightsFor(Object.values<Need>(need)))
  const quiet = objectsIn(textOf('kustomize/overlays/no-policy/rights.yaml'))
  t.same(rightsIn(quiet), rightsFor([...neededAtStart, ...neededBesides]), 'without policies')
  for (const [kind, name] of [
    ['ClusterRoleBinding', 'tulle'],
    ['RoleBinding', 'tulle-events'],
  ] as const)
    t.match(one(kind, name), {
      roleRef: { name },
      subjects: [{ kind: 'ServiceAccount', name: 'tulle', namespace: 'tulle-system' }],
    })
  t.end()
})

/** The agent's configuration in some objects, and what the pods' annotation says of it. */
function configIn(objects: readonly KubeObject[]): {
  readonly config: AgentConfig
  readonly isAnnotated: boolean
} {
  const { data } = one('ConfigMap', 'tulle', objects) as unknown as {
    readonly data: { readonly 'agent.yaml': string }
  }
  const text = data['agent.yaml']
  const read = readConfig([{ from: 'the ConfigMap', values: parse(text) as unknown }], node)
  if (read.kind === 'wrong') throw new Error(JSON.stringify(read.problems))
  const sum = createHash('sha256').update(text).digest('hex')
  const daemonSet = JSON.stringify(one('DaemonSet', 'tulle', objects))
  return { config: read.config, isAnnotated: daemonSet.includes(`"tulle.dev/config":"${sum}"`) }
}
const node = { nodeNameVariable: 'node-1', hostname: 'node-1' }

test('the agent takes its configuration, and a change of it is a change of the pods', (t) => {
  const { config, isAnnotated } = configIn(manifestObjects())
  t.match(config, {
    source: { kind: 'in-cluster' },
    conflist: '/etc/cni/net.d/10-tulle.conflist',
    flannelCompat: false,
    policy: {},
  })
  t.ok(isAnnotated)
  const overlays = readdirSync(confPath('kustomize/overlays')).filter((name) =>
    existsSync(confPath(`kustomize/overlays/${name}/config.yaml`)),
  )
  const wanted = {
    'flannel-compat': { flannelCompat: true },
    'no-policy': { policy: undefined },
  }
  t.same(overlays, Object.keys(wanted))
  for (const [name, differs] of Object.entries(wanted)) {
    const overlay = configIn(objectsIn(textOf(`kustomize/overlays/${name}/config.yaml`)))
    t.same(overlay.config, { ...config, ...differs }, name)
    t.ok(overlay.isAnnotated, name)
  }
  t.end()
})

test('what the agent writes is mounted where its defaults are', (t) => {
  const { binDir, dataDir, stateDir, runDir, conflist = '' } = configIn(manifestObjects()).config
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
  t.match(textOf('image/Dockerfile'), imageName())
  const chart = parse(textOf('helm/tulle/Chart.yaml')) as unknown
  t.match(chart, { version: version(), appVersion: version() })
  const values = parse(textOf('helm/tulle/values.yaml')) as unknown
  t.match(values, { image: { repository: imageName().split(':')[0], tag: '' } })
  t.end()
})

/** What the manifest mounts and sets is not for a chart's user to say again. */
const fixedKeys = ['binDir', 'dataDir', 'kubeconfig', 'nodeName', 'nodesFile', 'policyFiles']
const fixed = [...fixedKeys, 'runDir', 'stateDir']

test("the chart's schema knows every key of the agent that makes sense in a cluster", (t) => {
  const schema = JSON.parse(textOf('helm/tulle/values.schema.json')) as {
    readonly properties: { readonly agent: { readonly properties: object } }
  }
  const known = Object.keys(schema.properties.agent.properties)
  t.same([...known, ...fixed].toSorted(), Object.keys(keys).toSorted())
  t.end()
})

test('the kubelet starts the container again without asking the API for its environment', (t) => {
  const text = JSON.stringify(one('DaemonSet', 'tulle'))
  t.notMatch(text, /"envFrom"|"configMapKeyRef"|"secretKeyRef"/)
  t.end()
})
