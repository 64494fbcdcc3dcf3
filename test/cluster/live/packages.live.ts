import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { test } from 'tap'
import { need, neededAtStart, neededBesides } from '../../../src/kube/access.ts'
import {
  confPath,
  type KubeObject,
  manifestObjects,
  objectsIn,
  podSpec,
} from '../../conf/pod-container.ts'
import { rightsFor, rightsIn } from '../../conf/rights.ts'
import { findTools } from '../machine/bring-up.ts'

// The three ways to install are one: what Helm and kustomize make of conf/ is held against the
// manifest. Helm and kubectl are the cluster's tools; the cluster itself is not asked.

const { bin } = await findTools()
const program = (name: 'helm' | 'kubectl'): string => join(bin, name)

const release = ['template', 'tulle', confPath('helm/tulle'), '--namespace', 'tulle-system']
/** A helm that was built from its module takes the cluster for a very old one. */
const words = [...release, '--kube-version', '1.36.3']

const chart = (...values: readonly string[]): readonly KubeObject[] =>
  objectsOf('helm', [...words, ...values.flatMap((value) => ['--set-json', value])])
const overlay = (name: string): readonly KubeObject[] =>
  objectsOf('kubectl', ['kustomize', confPath(`kustomize/${name}`)])
const objectsOf = (name: 'helm' | 'kubectl', argv: readonly string[]): readonly KubeObject[] =>
  objectsIn(execFileSync(program(name), argv, { encoding: 'utf8' }))

const byName = (objects: readonly KubeObject[]): Readonly<Record<string, KubeObject>> =>
  Object.fromEntries(objects.map((object) => [`${object.kind} ${object.metadata.name}`, object]))

test('kustomize and Helm make what the manifest says', (t) => {
  const manifest = byName(manifestObjects())
  t.same(byName(overlay('base')), manifest)
  // The namespace is the release's: `helm install --create-namespace` makes it.
  const { 'Namespace tulle-system': namespace, ...others } = manifest
  t.ok(namespace)
  t.same(byName(chart()), others)
  t.end()
})

test('a value of the chart is an overlay of kustomize', (t) => {
  const pairs = [
    ['flannel-compat', 'agent.flannelCompat=true'],
    ['no-policy', 'agent.policy=false'],
  ] as const
  for (const [name, value] of pairs) {
    const { 'Namespace tulle-system': _, ...wanted } = byName(overlay(`overlays/${name}`))
    t.same(byName(chart(value)), wanted, name)
  }
  const quiet = rightsFor([...neededAtStart, ...neededBesides])
  t.same(rightsIn(chart('agent.policy=false')), quiet)
  t.same(rightsIn(chart()), rightsFor(Object.values(need)))
  t.end()
})

test('values end where they are meant', (t) => {
  const objects = byName(
    chart(
      'image={"repository":"registry.example/tulle","tag":"2.0.0"}',
      'agent={"metrics":"[::]:9999","vni":16777215}',
      'apiServer={"host":"api.example","port":443}',
      'cni={"binDir":"/usr/lib/cni","confDir":"/etc/other"}',
      'imagePullSecrets=[{"name":"registry"}]',
    ),
  )
  const { data } = objects['ConfigMap tulle'] as unknown as {
    readonly data: { readonly 'agent.yaml': string }
  }
  t.match(data['agent.yaml'], 'vni: 16777215\n')
  t.match(objects['ConfigMap tulle-api-server'], {
    data: { KUBERNETES_SERVICE_HOST: 'api.example', KUBERNETES_SERVICE_PORT: '443' },
  })
  const sum = createHash('sha256').update(data['agent.yaml']).digest('hex')
  const address = { host: '127.0.0.1', port: 9999 }
  t.match(objects['DaemonSet tulle'], {
    spec: {
      template: {
        metadata: { annotations: { 'tulle.dev/config': sum } },
        spec: {
          imagePullSecrets: [{ name: 'registry' }],
          containers: [
            {
              image: 'registry.example/tulle:2.0.0',
              readinessProbe: { httpGet: address },
              livenessProbe: { httpGet: address },
              volumeMounts: podSpec().containers[0].volumeMounts,
            },
          ],
        },
      },
    },
  })
  const { volumes } = (
    objects['DaemonSet tulle'] as unknown as {
      readonly spec: { readonly template: { readonly spec: ReturnType<typeof podSpec> } }
    }
  ).spec.template.spec
  t.match(
    volumes.flatMap(({ hostPath }) => hostPath?.path ?? []),
    ['/usr/lib/cni', '/etc/other', '/var/lib/cni'],
  )
  const silent = JSON.stringify(byName(chart('agent={"metrics":""}'))['DaemonSet tulle'])
  t.notMatch(silent, 'livenessProbe', 'nobody to probe')
  t.end()
})

test('a value that is none is refused by its name', (t) => {
  for (const [value, said] of [
    ['agent={"vni":0}', '/agent/vni'],
    ['agent={"colour":"red"}', 'colour'],
    ['cni={"binDir":"bin","confDir":"/etc/cni/net.d"}', '/cni/binDir'],
    ['maxUnavailable=0', '/maxUnavailable'],
  ] as const) {
    const done = spawnSync(program('helm'), [...words, '--set-json', value], { encoding: 'utf8' })
    t.not(done.status, 0, value)
    t.match(done.stderr, said)
  }
  t.end()
})
