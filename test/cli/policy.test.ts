import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { stringify } from 'yaml'
import { readManifests } from '../../src/cli/manifests.ts'
import { fromObjects } from '../../src/policy/from-objects.ts'
import { matrixOf } from '../../src/policy/matrix.ts'
import { clusterOf, cnp, namespace, np, pod } from '../policy/objects.ts'
import { allowedIn, objectsOf, steps } from '../policy/truth.ts'
import { tool, withFolder } from './tool.ts'

t.setTimeout(240_000)

const closed = np('x/closed', { podSelector: {}, ingress: [{ ports: [{ port: 80 }] }] })
const objects = [
  namespace('x'),
  pod('x/b', { ip: '10.0.0.2', ports: ['443', '80', '53/UDP', 'web=80'] }),
  pod('x/a', { ip: '10.0.0.1', ports: ['80'] }),
  closed,
]

const written = (folder: string, name: string, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}
const yamlOf = (some: readonly object[]): string => some.map((one) => stringify(one)).join('---\n')
const flow = (from: string, to: string, protocol: string, port: number) => ({
  from,
  to,
  protocol,
  port,
})

const matrix = {
  allowed: [flow('x/a', 'x/b', 'TCP', 80), flow('x/b', 'x/a', 'TCP', 80)],
  denied: [flow('x/a', 'x/b', 'TCP', 443), flow('x/a', 'x/b', 'UDP', 53)],
}

t.test('matrix: JSON of manifests, however they are cut into files', async (t) => {
  const list = { apiVersion: 'v1', kind: 'List', items: objects }
  const bare = objects.map(({ apiVersion: _, kind: __, ...rest }) => rest)
  const cuts: readonly (readonly [string, string])[][] = [
    [['all.yaml', yamlOf(objects)]],
    objects.map((one, index) => [`${index}.yml`, stringify(one)] as const),
    [['list.json', JSON.stringify(list)]],
    [['list.yaml', `---\n# nothing\n---\n${stringify(list)}---\n`]],
    [
      ['pods.json', JSON.stringify({ apiVersion: 'v1', kind: 'PodList', items: bare.slice(1, 3) })],
      ['rest.yaml', yamlOf([closed, namespace('x')])],
      ['notes.txt', 'not: [read'],
    ],
  ]
  for (const files of cuts)
    withFolder((folder) => {
      for (const [name, text] of files) written(folder, name, text)
      const { stdout, stderr, code } = tool(['policy', 'matrix', '--from', folder, '--json'])
      t.same({ code, stderr }, { code: 0, stderr: '' })
      t.equal(stdout, `${JSON.stringify(matrix)}\n`, files.map(([name]) => name).join(' '))
    })
})

t.test('matrix: the truth table through files, some of its steps', async (t) => {
  const table = steps()
  for (const step of table.filter((_, index) => index % 26 === 0))
    withFolder((folder) => {
      written(folder, 'all.yaml', yamlOf(objectsOf(step)))
      const { stdout } = tool(['policy', 'matrix', '--from', folder, '--json'])
      const { allowed } = JSON.parse(stdout) as typeof matrix
      const found = allowed
        .filter(({ protocol, port }) => `${protocol}/${port}` in step.Probed)
        .map(({ from, to, protocol, port }) => `${from}>${to} ${protocol}/${port}`)
      t.same(found.sort(), allowedIn(step), step.Desc)
      t.same(JSON.parse(stdout), matrixOf(clusterOf(...objectsOf(step))))
    })
})

t.test('the truth table holds through the reader of manifests, every step', async (t) => {
  for (const [index, step] of steps().entries())
    withFolder((folder) => {
      const objects = objectsOf(step)
      if (index % 2 === 0) written(folder, 'all.yaml', yamlOf(objects))
      else
        written(
          folder,
          'all.json',
          JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }),
        )
      const { cluster, problems } = fromObjects(readManifests(folder))
      const found = matrixOf(cluster)
        .allowed.filter(({ protocol, port }) => `${protocol}/${port}` in step.Probed)
        .map(({ from, to, protocol, port }) => `${from}>${to} ${protocol}/${port}`)
      t.same([found.sort(), problems], [allowedIn(step), []], `case ${step.Case}: ${step.Desc}`)
    })
})

t.test('matrix: for people and for other programs', (t) =>
  withFolder(async (folder) => {
    written(folder, 'all.yaml', yamlOf(objects))
    const shown = (...words: string[]) =>
      tool(['policy', 'matrix', '--from', folder, ...words]).stdout
    t.equal(
      shown(),
      [
        'FROM  TO   ALLOWED  DENIED',
        'x/a   x/b  TCP/80   TCP/443 UDP/53',
        'x/b   x/a  TCP/80   -',
        '',
        '2 allowed, 2 denied',
        '',
      ].join('\n'),
    )
    t.equal(shown('--csv').split('\n')[3], 'x/a,x/b,TCP,443,denied')
    t.match(shown('--dot'), '  "x/a" -> "x/b" [label="TCP/80"]\n')
    t.match(shown('--mermaid'), '  p0 -->|"TCP/80"| p1\n')
    const two = tool(['policy', 'matrix', '--from', folder, '--csv', '--dot'])
    t.match(two, { code: 2, stderr: /--csv and --dot/ })
  }),
)

t.test('what is refused and left out is told on stderr', (t) =>
  withFolder(async (folder) => {
    mkdirSync(join(folder, 'deep'))
    const http = { toPorts: [{ ports: [{ port: '80' }], rules: { http: [{}] } }] }
    const l7 = cnp('x/l7', { endpointSelector: {}, ingress: [http] })
    const others = [
      { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'a' } },
      {
        apiVersion: 'cilium.io/v2',
        kind: 'CiliumClusterwideNetworkPolicy',
        metadata: { name: 'c' },
      },
    ]
    written(join(folder, 'deep'), 'p.yaml', yamlOf([l7, ...others]))
    written(folder, 'pods.yaml', yamlOf(objects.slice(1, 3)))
    const { code, stdout, stderr } = tool(['policy', 'matrix', '--from', folder, '--json'])
    t.equal(code, 0)
    t.same(JSON.parse(stdout).allowed, [], 'nothing is allowed by it')
    t.match(stderr, /^refused: .*p\.yaml, document 1, .*Policy x\/l7: .*\[0\]\.rules is/m)
    t.match(stderr, /^note: 1 of kind apps\/v1 Deployment left out/m)
    t.match(stderr, /^note: 1 of kind .*ClusterwideNetworkPolicy left out: Tulle does not do/m)
    t.match(stderr, /^note: namespaces without a manifest .*: x$/m)
  }),
)

const wrongPort = np('x/p', { podSelector: {}, ingress: [{ ports: [{ port: 0 }] }] })
for (const { why, file, text, said } of [
  {
    why: 'a field that an API server refuses',
    file: 'a.yaml',
    text: yamlOf([namespace('x'), wrongPort]),
    said: /a\.yaml, document 2, NetworkPolicy x\/p: spec\.ingress.0.\.ports.0.\.port is 0; /,
  },
  { why: 'no YAML', file: 'a.yaml', text: 'a: [b', said: /a\.yaml is no YAML: .*line 1/ },
  { why: 'no JSON', file: 'a.json', text: '{', said: /a\.json is no JSON/ },
  {
    why: 'no kind',
    file: 'a.yaml',
    text: 'metadata: {}',
    said: /a\.yaml, no kind: kind is absent/,
  },
  { why: 'a text', file: 'a.yaml', text: 'hello', said: /the object is "hello"/ },
  { why: 'no manifest', file: 'a.txt', text: 'a: b', said: /has no manifest/ },
  {
    why: 'one name twice',
    file: 'a.yaml',
    text: yamlOf([closed, closed]),
    said: /document 2, .* another name than in .*a\.yaml, document 1/,
  },
  {
    why: 'aliases that would fill the memory',
    file: 'a.yaml',
    text: `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefgh'
      .split('')
      .map((key, at) => `${key}: &${key} [${`*${'abcdefg'[at]},`.repeat(9)}]\n`)
      .join('')}`,
    said: /a\.yaml is no YAML: .*alias/,
  },
])
  t.test(`unusable: ${why}`, (t) =>
    withFolder(async (folder) => {
      written(folder, file, text)
      const ran = tool(['policy', 'matrix', '--from', folder])
      t.match(ran, { code: 2, stdout: '', stderr: said })
    }),
  )

t.test('unusable: no such folder', async (t) => {
  t.match(tool(['policy', 'matrix', '--from', '/nowhere']), { code: 2, stderr: /nowhere/ })
})

t.test('explain: who decided, and what would admit it', (t) =>
  withFolder(async (folder) => {
    written(folder, 'all.yaml', yamlOf(objects))
    const explained = (...words: string[]) =>
      tool(['policy', 'explain', ...words, '--from', folder])
    const open = explained('x/a', 'x/b', 'web')
    t.equal(open.code, 0, open.stderr)
    t.match(open.stdout, 'x/a -> x/b TCP 80 (IPv4): allowed\n')
    t.match(open.stdout, 'ingress: allowed by NetworkPolicy x/closed spec.ingress[0]\n')
    t.match(open.stdout, 'egress:  no policy isolates x/a for egress\n')
    const shut = explained('x/a', 'x/b', '53/udp')
    t.equal(shut.code, 1)
    t.match(shut.stdout, 'x/b is isolated by NetworkPolicy x/closed, and no rule allows this')
    const [, proposed = ''] = shut.stdout.split('This would admit it:\n\n')
    written(folder, 'proposed.yaml', proposed)
    t.equal(explained('x/a', 'x/b', '53/udp').code, 0, 'the proposal is a manifest, and it helps')
    const json = JSON.parse(explained('x/a', 'x/b', '--json').stdout)
    t.match(json, [
      { protocol: 'TCP', port: 80, verdict: 'allowed', ingress: { by: [{ name: 'closed' }] } },
      { protocol: 'TCP', port: 443, verdict: 'denied', admits: [{ kind: 'NetworkPolicy' }] },
      { protocol: 'UDP', port: 53 },
    ])
    t.match(explained('192.0.2.7', 'x/b', '443').stdout, 'cidr: 192.0.2.7/32')
    t.match(explained('10.0.0.1', '10.0.0.2', '80').stdout, /^x\/a -> x\/b TCP 80/)
    for (const { words, said } of [
      { words: ['x/c', 'x/b'], said: 'There is no pod x/c' },
      { words: ['a', 'x/b'], said: 'There is no pod a; there is x/a' },
      { words: ['x/a', 'x/b', 'dns'], said: 'declares no port dns' },
      { words: ['x/a', 'x/b', '70000'], said: '1 to 65535' },
      { words: ['x/a', 'x/b', '80/tcp/1'], said: 'PORT is' },
      { words: ['x/a', '192.0.2.7'], said: 'declares no port' },
      { words: ['x/a'], said: 'SRC DST [PORT]' },
    ])
      t.match(explained(...words), { code: 2, stdout: '', stderr: said }, words.join(' '))
  }),
)

t.test('diff: what a change opens and closes', (t) =>
  withFolder(async (folder) => {
    const before = written(folder, 'before.yaml', yamlOf(objects))
    const changed = np('x/closed', { podSelector: {}, ingress: [{ ports: [{ port: 443 }] }] })
    const after = written(folder, 'after.yaml', yamlOf([...objects.slice(0, 3), changed]))
    const differing = tool(['policy', 'diff', before, after, '--json'])
    t.equal(differing.code, 1, differing.stderr)
    t.same(JSON.parse(differing.stdout), {
      opened: [flow('x/a', 'x/b', 'TCP', 443)],
      closed: [flow('x/a', 'x/b', 'TCP', 80), flow('x/b', 'x/a', 'TCP', 80)],
    })
    t.equal(
      tool(['policy', 'diff', before, after]).stdout,
      [
        '+  x/a  ->  x/b  TCP/443',
        '-  x/a  ->  x/b  TCP/80',
        '-  x/b  ->  x/a  TCP/80',
        '1 opened, 2 closed',
        '',
      ].join('\n'),
    )
    const same = tool(['policy', 'diff', before, before])
    t.match(same, { code: 0, stdout: '0 opened, 0 closed\n' })
    t.match(tool(['policy', 'diff', before]), { code: 2, stderr: /It takes A B/ })
  }),
)

t.test('lint: findings with what mends them', (t) =>
  withFolder(async (folder) => {
    written(folder, 'all.yaml', yamlOf(objects))
    const words = ['policy', 'lint', '--from', folder]
    const ran = tool(words)
    t.equal(ran.code, 1, ran.stderr)
    t.match(
      ran.stdout,
      /^open-namespace: Namespace x has pods that no policy isolates for egress\n/m,
    )
    const [, fix = ''] = ran.stdout.split('egress\n\n')
    written(folder, 'fix.yaml', fix.replaceAll(/^ {4}/gm, ''))
    t.match(JSON.parse(tool([...words, '--json']).stdout), [{ check: 'dns', fix: { spec: {} } }])
  }),
)
