import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { stringify } from 'yaml'
import { findAccess, RotatingAccess } from '../../src/kube/access-source.ts'
import {
  type ApiAccess,
  CredentialsRefusal,
  readServiceAccount,
} from '../../src/kube/credentials.ts'
import { readKubeconfig } from '../../src/kube/kubeconfig.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')

type Parts = { cluster?: object; user?: object; config?: object }

/** A kubeconfig in a folder of its own, with these entries beside the usual ones. */
function kubeconfig(t: Test, { cluster = {}, user = {}, config = {} }: Parts): string {
  const directory = t.testdir({
    token: ' from-a-file\n',
    'ca.crt': 'CA',
    'me.crt': 'C',
    'me.key': 'K',
  })
  const path = join(directory, 'config')
  const text = stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'here',
    contexts: [
      { name: 'there', context: { cluster: 'none', user: 'none' } },
      { name: 'here', context: { cluster: 'c', user: 'u' } },
    ],
    clusters: [{ name: 'c', cluster: { server: 'https://10.0.0.1:6443/', ...cluster } }],
    users: [{ name: 'u', user }],
    ...config,
  })
  writeFileSync(path, text)
  return path
}

const plain = { server: 'https://10.0.0.1:6443', skipVerify: false }

for (const { why, want, ...parts } of [
  { why: 'a token', user: { token: 'abc' }, want: { ...plain, token: 'abc' } },
  {
    why: 'a token’s file, which lies beside it and wins over the token',
    user: { token: 'abc', tokenFile: 'token' },
    want: { ...plain, token: 'from-a-file' },
  },
  {
    why: 'a client certificate in it',
    user: { 'client-certificate-data': base64('C1'), 'client-key-data': base64('K1') },
    want: { ...plain, client: { certificate: 'C1', key: 'K1' } },
  },
  {
    why: 'a client certificate in files',
    user: { 'client-certificate': 'me.crt', 'client-key': 'me.key' },
    want: { ...plain, client: { certificate: 'C', key: 'K' } },
  },
  {
    why: 'an authority in it, which wins over its file',
    cluster: { 'certificate-authority': 'ca.crt', 'certificate-authority-data': base64('CA1') },
    want: { ...plain, ca: 'CA1' },
  },
  {
    why: 'an authority in a file and the server’s name',
    cluster: { 'certificate-authority': 'ca.crt', 'tls-server-name': 'api.test' },
    want: { ...plain, ca: 'CA', serverName: 'api.test' },
  },
  {
    why: 'no check of the server',
    cluster: { 'insecure-skip-tls-verify': true },
    want: { ...plain, skipVerify: true },
  },
  {
    why: 'plain HTTP',
    cluster: { server: 'http://a:8080' },
    want: { ...plain, server: 'http://a:8080' },
  },
  {
    why: 'no user',
    config: { contexts: [{ name: 'here', context: { cluster: 'c' } }] },
    want: plain,
  },
])
  test(`a kubeconfig with ${why}`, async (t) => {
    const path = kubeconfig(t, parts)
    t.same(readKubeconfig(path), { ...want, source: `kubeconfig ${path}, context here` })
  })

for (const { why, found, ...parts } of [
  {
    why: 'exec',
    user: { exec: { command: 'aws' } },
    found: 'user "u" has exec; Tulle runs no other',
  },
  {
    why: 'an auth-provider',
    user: { 'auth-provider': {} },
    found: 'has auth-provider; Kubernetes',
  },
  { why: 'a password', user: { username: 'a' }, found: 'has username; API servers no longer' },
  { why: 'somebody to act as', user: { as: 'admin' }, found: 'has as; it acts as itself only' },
  { why: 'a proxy', cluster: { 'proxy-url': 'http://p' }, found: 'cluster "c" has a proxy-url' },
  { why: 'half a certificate', user: { 'client-key': 'me.key' }, found: 'it needs both' },
  { why: 'no server', cluster: { server: '' }, found: 'server of cluster "c" is ""' },
  {
    why: 'a server without https://',
    cluster: { server: 'a:6443' },
    found: 'is "a:6443"; it must',
  },
  { why: 'a token that is a number', user: { token: 7 }, found: 'token of user "u" is 7' },
  {
    why: 'a check that is a text',
    cluster: { 'insecure-skip-tls-verify': 'yes' },
    found: 'is "yes"',
  },
  { why: 'data that are no base64', user: { 'client-key-data': '§' }, found: 'is not base64' },
  { why: 'no current context', config: { 'current-context': '' }, found: 'has no current-context' },
  {
    why: 'a context that is not there',
    config: { contexts: [] },
    found: 'no context named "here"',
  },
  { why: 'a cluster that is not there', config: { clusters: [] }, found: 'no cluster named "c"' },
  { why: 'a user that is not there', config: { users: 'x' }, found: 'no user named "u"' },
  { why: 'a file that is not there', user: { tokenFile: 'none' }, found: 'ENOENT' },
  { why: 'an empty token', user: { tokenFile: '/dev/null' }, found: 'is empty' },
])
  test(`a kubeconfig with ${why} is refused`, async (t) => {
    const path = kubeconfig(t, parts)
    const read = (): ApiAccess => readKubeconfig(path)
    t.throws(read, { name: 'CredentialsRefusal' })
    t.throws(read, { message: new RegExp(escaped(found)) })
  })

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

for (const { why, text } of [
  { why: 'no YAML', text: 'a: [' },
  { why: 'nothing', text: '' },
  { why: 'a list', text: '- 1' },
  { why: 'binary data', text: '\0\x01' },
])
  test(`a kubeconfig that is ${why} is refused`, async (t) => {
    const directory = t.testdir({ config: text })
    t.throws(() => readKubeconfig(join(directory, 'config')), CredentialsRefusal)
  })

test('a pod’s own access', async (t) => {
  const directory = t.testdir({ token: 'abc\n', 'ca.crt': 'CA' })
  const environment = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' }
  t.match(readServiceAccount(environment, directory), {
    server: 'https://[fd00::1]:443',
    token: 'abc',
    ca: 'CA',
    skipVerify: false,
  })
  const refused = { name: 'CredentialsRefusal' }
  t.throws(() => readServiceAccount({}, directory), refused)
  t.throws(() => readServiceAccount(environment, join(directory, 'none')), refused)
  writeFileSync(join(directory, 'token'), '\n')
  t.throws(() => readServiceAccount(environment, directory), { message: /automountServiceAccount/ })
})

test('the named kubeconfig goes before KUBECONFIG, that before the pod’s own access', async (t) => {
  const named = kubeconfig(t, { user: { token: 'named' } })
  const other = join(t.testdirName, 'other')
  mkdirSync(other)
  const environment = { KUBECONFIG: join(other, 'config'), KUBERNETES_SERVICE_HOST: '10.0.0.1' }
  t.match(findAccess({ kubeconfig: named, environment })(), { token: 'named' })
  t.throws(findAccess({ environment }), { message: /other\/config/ })
  t.throws(findAccess({ environment: { ...environment, KUBECONFIG: '' } }), {
    message: /serviceaccount\/token/,
  })
  t.throws(() => findAccess({ environment: {} }), {
    message: /name a kubeconfig, or use a nodes file/,
  })
})

test('credentials are read again after 10 seconds, or when they are refused', async (t) => {
  let nowMs = 0
  let token = 'one'
  let reads = 0
  const access = new RotatingAccess(
    () => {
      reads++
      if (token === '') throw new CredentialsRefusal('the file is just being replaced')
      return { ...plain, token, source: 'a test' }
    },
    () => nowMs,
  )
  const first = access.now()
  token = 'two'
  nowMs = 9_999
  t.equal(access.now(), first)
  nowMs = 10_000
  t.equal(access.now().token, 'two')
  t.equal(reads, 2)
  const second = access.now()
  t.equal(access.renewed(second), undefined)
  token = 'three'
  t.equal(access.renewed(second)?.token, 'three')
  token = ''
  nowMs = 60_000
  t.equal(access.now().token, 'three')
  t.equal(access.now(), access.now())
})

test('credentials that were never there are refused', async (t) => {
  const access = new RotatingAccess(
    () => {
      throw new CredentialsRefusal('no file')
    },
    () => 0,
  )
  t.throws(() => access.now(), CredentialsRefusal)
})

test('files named after variables outdo them, and are read anew each time', (t) => {
  const folder = t.testdir({ KUBERNETES_SERVICE_HOST: 'api.example\n' })
  const access = findAccess({ environment: { TULLE_API_SERVER_DIR: folder } })
  // The token comes last: as far as that everything was right.
  t.throws(access, { message: /serviceaccount\/token/ })
  writeFileSync(join(folder, 'KUBERNETES_SERVICE_PORT'), 'https')
  t.throws(access, { message: /is "api.example" and KUBERNETES_SERVICE_PORT "https"/ })
  const none = { TULLE_API_SERVER_DIR: join(folder, 'none') }
  t.throws(() => findAccess({ environment: none }), { message: /this is no pod/ })
  const ofService = { ...none, KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: 'x' }
  t.throws(findAccess({ environment: ofService }), { message: /is "10.96.0.1"/ })
  t.end()
})
