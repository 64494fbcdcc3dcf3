import { test } from 'tap'
import { parseAllDocuments } from 'yaml'
import { clusterOf, namespace, passing, pod } from './objects.ts'

// The manifests that everybody begins with, unchanged.

const read = (text: string): readonly unknown[] =>
  parseAllDocuments(text).map((document) => document.toJS() as unknown)

const defaultDeny = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: default-deny-all
  namespace: production
spec:
  podSelector: {} # applies to all pods in the namespace
  policyTypes:
    - Ingress
    - Egress
`
const apiIngress = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-api-ingress
  namespace: production
spec:
  podSelector:
    matchLabels:
      app: api-server
  policyTypes:
    - Ingress
  ingress:
    - from:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: ingress-nginx
      ports:
        - protocol: TCP
          port: 8080
`
/** The snippet is a rule: the policy around it is what has to be. */
const dns = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-dns
  namespace: production
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
    - ports:
        - port: 53
          protocol: UDP
        - port: 53
          protocol: TCP
      to:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: kube-system
`
const database = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-api-to-db
  namespace: production
spec:
  podSelector:
    matchLabels:
      app: postgres
  ingress:
    - from:
        - podSelector:
            matchLabels:
              app: api-server
      ports:
        - port: 5432
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: api-to-db
  namespace: production
spec:
  podSelector:
    matchLabels:
      app: api-server
  policyTypes: [Egress]
  egress:
    - to:
        - podSelector:
            matchLabels:
              app: postgres
      ports:
        - port: 5432
`
/** It names no namespace, as it is printed: that is `default`. */
const cilium = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: allow-api-to-db
spec:
  endpointSelector:
    matchLabels:
      app: postgres
  ingress:
    - fromEndpoints:
        - matchLabels:
            app: api-server
      toPorts:
        - ports:
            - port: '5432'
              protocol: TCP
`

const pods = (name: string, net: number) => [
  namespace(name),
  pod(`${name}/api`, { ip: `10.0.${net}.1`, labels: { app: 'api-server' }, ports: ['8080'] }),
  pod(`${name}/pg`, { ip: `10.0.${net}.2`, labels: { app: 'postgres' }, ports: ['5432'] }),
]
const cluster = (...texts: readonly string[]) =>
  clusterOf(
    ...pods('production', 1),
    ...pods('default', 2),
    namespace('ingress-nginx'),
    namespace('kube-system'),
    pod('ingress-nginx/nginx', { ip: '10.0.3.1' }),
    pod('kube-system/dns', { ip: '10.0.4.1', ports: ['53/UDP', '53'] }),
    ...texts.flatMap(read),
  )

const nginx = 'ingress-nginx/nginx>production/api 8080'
const toDb = 'production/api>production/pg 5432'
const lookups = ['production/pg>kube-system/dns 53/UDP', 'production/api>kube-system/dns 53']
const asked = [
  ...[nginx, 'ingress-nginx/nginx>production/api 80', 'default/api>production/api 8080'],
  ...['192.0.2.7>production/api 8080', toDb, 'production/pg>production/api 8080'],
  ...lookups,
  ...['production/api>kube-system/dns 80', 'production/api>192.0.2.7 53/UDP'],
]

for (const { why, texts, want } of [
  { why: 'no policy', texts: [], want: asked },
  { why: 'default deny', texts: [defaultDeny], want: [] },
  { why: 'the API server', texts: [defaultDeny, apiIngress], want: [nginx] },
  { why: 'DNS', texts: [defaultDeny, apiIngress, dns], want: [nginx, ...lookups] },
  {
    why: 'the database',
    texts: [defaultDeny, apiIngress, dns, database],
    want: [nginx, toDb, ...lookups],
  },
])
  test(`article: ${why}`, async (t) => t.same(passing(cluster(...texts), asked), want))

test('article: the CiliumNetworkPolicy', async (t) => {
  const toPostgres = [
    ...['default/api>default/pg 5432', 'default/api>default/pg 5433'],
    ...['default/api>default/pg 5432/UDP', 'production/api>default/pg 5432'],
    ...['kube-system/dns>default/pg 5432', '192.0.2.7>default/pg 5432'],
  ]
  t.same(passing(cluster(cilium), toPostgres), ['default/api>default/pg 5432'])
  const others = ['default/pg>default/api 8080', 'default/pg>192.0.2.7 443', toDb]
  t.same(passing(cluster(cilium), others), others, 'egress and other namespaces as before')
})
