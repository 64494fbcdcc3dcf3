import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { agentHelp, readCommandLine, UsageRefusal } from '../../src/agent/command-line.ts'
import { explainConfigProblem, readConfig, type Surroundings } from '../../src/agent/config.ts'
import { keys } from '../../src/agent/config-keys.ts'
import { formatPrefix } from '../../src/base/prefix.ts'

const surroundings: Surroundings = { nodeNameVariable: undefined, hostname: 'Node-1' }
const read = (values: unknown, around = surroundings) =>
  readConfig([{ from: 'agent.yaml', values }], around)
const problemsOf = (values: unknown): readonly string[] => {
  const found = read(values)
  return found.kind === 'wrong' ? found.problems.map(explainConfigProblem) : []
}

test('nothing said is a whole configuration', async (t) => {
  for (const values of [undefined, null, {}])
    t.match(read(values), {
      kind: 'config',
      config: {
        nodeName: 'node-1',
        source: { kind: 'in-cluster' },
        overlay: { mode: 'auto', vni: 1, port: 8472 },
        flannelCompat: false,
        ipMasq: true,
        conflist: '/etc/cni/net.d/10-tulle.conflist',
        binDir: '/opt/cni/bin',
        warm: true,
        dataDir: '/var/lib/cni/tulle',
        stateDir: '/var/lib/cni/tulle',
        runDir: '/run/tulle',
        metrics: { address: { family: 4, value: 0x7f000001n }, port: 9476 },
        logLevel: 'info',
        resyncSeconds: 30,
        policy: { nodePortGuard: [] },
      },
    })
})

test('every key reaches the configuration', async (t) => {
  const found = read({
    nodeName: 'a.b-c',
    nodesFile: '/etc/tulle/nodes.yaml',
    mode: 'vxlan',
    vni: 4096,
    port: 4789,
    mtu: 1400,
    clusterCIDRs: ['10.244.0.0/16', 'fd00:10:244::/48'],
    ipMasq: false,
    flannelCompat: true,
    conflist: '',
    binDir: '/b',
    warm: false,
    dataDir: '/d',
    stateDir: '/s',
    runDir: '/r',
    metrics: '[::1]:1234',
    logLevel: 'debug',
    resyncSeconds: 5,
    patienceSeconds: 0,
    policy: true,
    policyFiles: '/p',
    nodePortGuard: [
      { ports: '30000-32767', protocol: 'TCP', from: ['10.0.0.0/8', 'fd00::/8'] },
      { ports: 8080, from: [] },
    ],
  })
  if (found.kind === 'wrong') throw new Error(found.problems.map(explainConfigProblem).join('\n'))
  const { clusterCIDRs = [], ...overlay } = found.config.overlay
  t.same(clusterCIDRs.map(formatPrefix), ['10.244.0.0/16', 'fd00:10:244::/48'])
  t.same(overlay, { mode: 'vxlan', vni: 4096, port: 4789, mtuBytes: 1400 })
  t.match(found.config, {
    nodeName: 'a.b-c',
    source: { kind: 'nodes-file', path: '/etc/tulle/nodes.yaml' },
    flannelCompat: true,
    ipMasq: false,
    conflist: undefined,
    metrics: { address: { family: 6, value: 1n }, port: 1234 },
    resyncSeconds: 5,
    patienceSeconds: 0,
    policy: {
      files: '/p',
      nodePortGuard: [
        { first: 30000, last: 32767, protocol: 6, from: [{ bits: 8 }, { bits: 8 }] },
        { first: 8080, last: 8080, protocol: 6, from: [] },
        { first: 8080, last: 8080, protocol: 17, from: [] },
        { first: 8080, last: 8080, protocol: 132, from: [] },
      ],
    },
  })
})

test('no policy where nobody can tell of any, and where it is not wanted', async (t) => {
  const policyOf = (values: unknown): unknown => {
    const found = read(values)
    return found.kind === 'config' ? found.config.policy : found
  }
  t.equal(policyOf({ policy: false }), undefined)
  t.equal(policyOf({ nodesFile: '/n' }), undefined)
  t.match(policyOf({ nodesFile: '/n', nodePortGuard: '22/TCP=' }), {
    nodePortGuard: [{ first: 22, from: [] }],
  })
  t.match(policyOf({ nodePortGuard: '30000-32767/UDP=10.0.0.0/8, fd00::/8;80=192.0.2.0/24' }), {
    nodePortGuard: [
      { first: 30000, last: 32767, protocol: 17, from: [{ bits: 8 }, { bits: 8 }] },
      { first: 80, last: 80, protocol: 6, from: [{ bits: 24 }] },
      { protocol: 17 },
      { protocol: 132 },
    ],
  })
})

for (const { why, values, problems } of [
  {
    why: 'no such key',
    values: { vnid: 1 },
    problems: [/^agent.yaml: vnid is no key .*vni, port/],
  },
  { why: 'an inherited name', values: JSON.parse('{"__proto__":1}'), problems: [/no key/] },
  { why: 'too large', values: { vni: 16777216 }, problems: [/vni is 16777216; .* 1 … 16777215$/] },
  { why: 'no whole number', values: { port: 1.5 }, problems: [/port is 1.5/] },
  { why: 'a number as text with more', values: { port: '80x' }, problems: [/port is "80x"/] },
  { why: 'port 0', values: { port: 0 }, problems: [/port is 0/] },
  { why: 'an MTU below IPv6', values: { mtu: 1279 }, problems: [/mtu is 1279; .*1280/] },
  { why: 'host bits', values: { clusterCIDRs: ['10.0.0.1/8'] }, problems: [/10.0.0.1/] },
  { why: 'an odd mode', values: { mode: 'host-gw' }, problems: [/auto, vxlan, direct$/] },
  { why: 'a word for a switch', values: { ipMasq: 'yes' }, problems: [/true or false/] },
  { why: 'a relative path', values: { binDir: 'bin' }, problems: [/absolute/] },
  { why: 'a conflist of another kind', values: { conflist: '/a.conf' }, problems: [/conflist/] },
  { why: 'a port without address', values: { metrics: ':9476' }, problems: [/metrics/] },
  { why: 'a port beyond', values: { metrics: '1.2.3.4:65536' }, problems: [/metrics/] },
  { why: 'IPv6 without brackets', values: { metrics: '::1:80' }, problems: [/metrics/] },
  { why: 'a name that no node has', values: { nodeName: 'A b' }, problems: [/nodeName is "A b"/] },
  { why: 'two sources', values: { nodesFile: '/a', kubeconfig: '/b' }, problems: [/either/] },
  { why: 'files beside an API', values: { policyFiles: '/a' }, problems: [/beside nodesFile/] },
  {
    why: 'a guard without policy',
    values: { policy: false, nodePortGuard: '22=' },
    problems: [/beside policy: true/],
  },
  { why: 'port 0 guarded', values: { nodePortGuard: '0=' }, problems: [/nodePortGuard/] },
  { why: 'ports backwards', values: { nodePortGuard: '9-8=' }, problems: [/nodePortGuard/] },
  { why: 'a client with host bits', values: { nodePortGuard: '1=10.0.0.1/8' }, problems: [/CIDR/] },
  { why: 'a protocol in small', values: { nodePortGuard: '1/tcp=' }, problems: [/SCTP/] },
  {
    why: 'a slip in a key',
    values: { nodePortGuard: [{ ports: 1, form: [] }] },
    problems: [/from/],
  },
  { why: 'a list', values: [], problems: [/the whole is a list/] },
  { why: 'a word', values: 'x', problems: [/the whole is "x"/] },
  {
    why: 'all of them at once',
    values: { vni: 0, port: 0, mtu: 1 },
    problems: [/vni/, /port/, /mtu/],
  },
])
  test(`a wrong value is told with what is accepted: ${why}`, async (t) => {
    const found = problemsOf(values)
    t.equal(found.length, problems.length, found.join('\n'))
    for (const [at, problem] of problems.entries()) t.match(found[at], problem)
  })

test("the node's name: NODE_NAME, then the host's; what can't be a name is told", async (t) => {
  t.match(read({}, { nodeNameVariable: 'n7', hostname: 'h' }), { config: { nodeName: 'n7' } })
  t.match(read({ nodeName: 'x' }, { nodeNameVariable: 'n7', hostname: 'h' }), {
    config: { nodeName: 'x' },
  })
  t.match(read({}, { nodeNameVariable: 'N_7', hostname: 'h' }), {
    problems: [{ from: /NODE_NAME/, found: '"N_7"' }],
  })
})

function withFile<T>(text: string, use: (path: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'tt-config-'))
  try {
    const path = join(folder, 'agent.yaml')
    writeFileSync(path, text)
    return use(path)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const refusedText = (words: readonly string[]): string => {
  try {
    readCommandLine(words, { NODE_NAME: 'n1' })
    return 'nothing'
  } catch (refusal) {
    if (refusal instanceof UsageRefusal) return refusal.message
    throw refusal
  }
}

test('flags have the last word on what the file says', async (t) =>
  withFile('vni: 7\nport: 9\nipMasq: true\n', (path) => {
    const words = ['--config', path, '--port', '10', '--no-ip-masq', '--metrics', '']
    t.match(readCommandLine(words, { NODE_NAME: 'n1' }), {
      kind: 'run',
      config: {
        nodeName: 'n1',
        overlay: { vni: 7, port: 10 },
        ipMasq: false,
        metrics: undefined,
      },
    })
  }))

test('each source of a wrong value is named', async (t) =>
  withFile('vni: 0', (path) => {
    const text = refusedText(['--config', path, '--port', 'x'])
    t.match(text, `${path}: vni is 0`)
    t.match(text, 'the command line: port is "x"')
  }))

test('what is no flag, no file and no YAML is told', async (t) => {
  t.match(refusedText(['--vnid', '1']), /--vnid/)
  t.match(refusedText(['now']), /now/)
  t.match(refusedText(['--config', '/nowhere/agent.yaml']), /Cannot read.*ENOENT/)
  withFile('a: [', (path) => t.match(refusedText(['--config', path]), /is no YAML/))
})

test('the help has every key, in lines of a terminal', async (t) => {
  t.same(readCommandLine(['--help'], {}), { kind: 'help' })
  const help = agentHelp()
  for (const { flag } of Object.values(keys)) t.match(help, flag)
  t.ok(Math.max(...help.split('\n').map(({ length }) => length)) <= 100)
})
