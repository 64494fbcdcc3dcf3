import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs, styleText } from 'node:util'
import {
  AgentNode,
  type PodWish,
  podObject,
  type RunningPod,
} from '../test/policy-packets/agent-node.ts'
import { executable } from '../test/support/cni.ts'
import { makeNetns, run } from '../test/support/netns.ts'
import { type Probe, Prober, type Protocol } from '../test/support/prober.ts'
import { picture } from '../test/support/residue.ts'

// NetworkPolicies as packets: six pods, wired by the plugin on a node with the agent; after each
// policy who reaches whom, beside what `tulle policy matrix` says of the same files.

const { values: options } = parseArgs({ options: { json: { type: 'boolean' } } })
const manifests = new URL('demo-policy/', import.meta.url)

const tcp = (containerPort: number) => [{ containerPort, protocol: 'TCP' }] as const
const wishes: readonly PodWish[] = [
  { key: 'ingress-nginx/controller', labels: { app: 'nginx' } },
  { key: 'production/api', labels: { app: 'api-server' }, ports: tcp(8080) },
  { key: 'production/postgres', labels: { app: 'postgres' }, ports: tcp(5432) },
  { key: 'default/api', labels: { app: 'api-server' }, ports: tcp(8080) },
  { key: 'default/postgres', labels: { app: 'postgres' }, ports: tcp(5432) },
  {
    key: 'kube-system/dns',
    labels: { 'k8s-app': 'kube-dns' },
    ports: [...tcp(53), { containerPort: 53, protocol: 'UDP' }],
  },
]

type Step = Readonly<{ file?: string; title: string }>
const steps: readonly Step[] = [
  { title: 'no policy: everybody reaches everybody' },
  { file: '1-default-deny.yaml', title: 'production is closed, both ways' },
  { file: '2-api-ingress.yaml', title: 'the API server, from ingress-nginx, on 8080' },
  { file: '3-dns.yaml', title: 'DNS, out of production' },
  { file: '4-cilium.yaml', title: 'a CiliumNetworkPolicy, as printed: in the namespace default' },
  { file: '5-production-database.yaml', title: 'the same in production, and the way out to it' },
]

/** One flow that was asked for: "production/api>production/postgres 5432/TCP". */
type Flow = Readonly<{ from: string; to: string; protocol: Protocol; port: number }>
const textOf = ({ from, to, protocol, port }: Flow): string => `${from}>${to} ${port}/${protocol}`
type Shown = Step &
  Readonly<{
    /** Flows that a packet made, and those that the tool says are allowed. */
    reached: readonly string[]
    expected: readonly string[]
    /** From the file's being there until packets went as it says. */
    milliseconds: number
  }>

const print = (line = ''): void => {
  if (!options.json) process.stdout.write(`${line}\n`)
}

async function main(): Promise<void> {
  process.on('SIGINT', () => {})
  print(styleText('bold', run([executable, '--version']).stdout.trim()))
  print('Six pods on a node with the agent; after each policy packets go from each pod to each')
  print('port. All of it lives in network namespaces made for this, nothing else is touched.')
  const node = new AgentNode()
  const prober = new Prober()
  const pods: RunningPod[] = []
  const shown: Shown[] = []
  let left: readonly string[] = ['not looked for']
  try {
    node.write('cluster.yaml', textIn('cluster.yaml'))
    node.write('pods.yaml', wishes.map(podObject))
    await node.start()
    const before = picture(node.netns)
    for (const { key } of wishes) pods.push(await startPod(node, prober, key))
    node.write('pods.yaml', objectsOf(pods))
    for (const step of steps) shown.push(await take(step, node, prober, pods, shown.at(-1)))
    for (const name of ['pods.yaml', ...steps.map(({ file }) => file)]) if (name) node.remove(name)
    for (const pod of pods.splice(0)) removePod(node, pod)
    left = await leftovers(node, before)
  } finally {
    prober.close()
    for (const { netns } of pods) netns.close()
    await node.close()
  }
  const ok = shown.length === steps.length && shown.every(isAsExpected) && left.length === 0
  printLeft(left)
  const flows = shown.reduce((sum, { reached }) => sum + reached.length, 0)
  const all = shown.length * flowsOf(wishes).length
  print(`${ok ? good('✓') : bad('✗')} ${all} flows asked for, ${flows} went, each as the tool says`)
  if (options.json)
    process.stdout.write(`${JSON.stringify({ ok, steps: shown, left }, undefined, 2)}\n`)
  process.exitCode = ok ? 0 : 1
}

async function startPod(node: AgentNode, prober: Prober, key: string): Promise<RunningPod> {
  const netns = makeNetns('pod')
  try {
    const pod = await node.addPod(key, netns)
    prober.addPod(key, netns)
    const ports = wishes.find((wish) => wish.key === key)?.ports ?? []
    for (const { containerPort, protocol = 'TCP' } of ports)
      prober.listen(key, protocol as Protocol, containerPort)
    print(`${good('✓')} ADD ${key.padEnd(26)} ${faint(pod.addresses.join(' '))}`)
    return pod
  } catch (fault) {
    netns.close()
    throw fault
  }
}

/** The pods as the API tells of them once kubelet has told it their addresses. */
const objectsOf = (pods: readonly RunningPod[]): readonly object[] =>
  wishes.map((wish) => {
    const addresses = pods.find(({ key }) => key === wish.key)?.addresses ?? []
    const podIPs = addresses.map((ip) => ({ ip }))
    return { ...podObject(wish), status: { phase: 'Running', podIPs } }
  })

function removePod(node: AgentNode, pod: RunningPod): void {
  const ran = node.removePod(pod)
  pod.netns.close()
  if (ran.code !== 0) throw new Error(`DEL of ${pod.key}: ${ran.stdout}`)
}

/** Every declared port, from each pod that is not its own. */
const flowsOf = (all: readonly PodWish[]): readonly Flow[] =>
  all.flatMap(({ key: from }) =>
    all
      .filter(({ key }) => key !== from)
      .flatMap(({ key: to, ports = [] }) =>
        ports.map(({ containerPort: port, protocol = 'TCP' }) => ({
          ...{ from, to, port },
          protocol: protocol as Protocol,
        })),
      ),
  )

/** How long the agent may take, on a machine that is busy with other things. */
const limitMilliseconds = 10_000
/** Waited for what does not come; answers between two namespaces take far less. */
const silenceMilliseconds = 50

async function take(
  step: Step,
  node: AgentNode,
  prober: Prober,
  pods: readonly RunningPod[],
  last: Shown | undefined,
): Promise<Shown> {
  const expected = expectedOf(node, pods, step)
  if (step.file) node.write(step.file, textIn(step.file))
  const began = performance.now()
  let reached: readonly string[] = []
  let milliseconds = 0
  do {
    reached = await ask(prober, pods)
    milliseconds = performance.now() - began
  } while (!isAsExpected({ reached, expected }) && milliseconds < limitMilliseconds)
  const now = { ...step, reached, expected, milliseconds }
  show(now, last)
  return now
}

async function ask(prober: Prober, pods: readonly RunningPod[]): Promise<readonly string[]> {
  const flows = flowsOf(wishes)
  const probes = flows.flatMap(({ from, to, protocol, port }): readonly Probe[] =>
    (pods.find(({ key }) => key === to)?.addresses ?? []).map((address) => ({
      ...{ from, address, protocol, port },
    })),
  )
  const answers = await prober.ask(probes, () => probes.length, silenceMilliseconds)
  const families = probes.length / flows.length
  return flows
    .filter((_, at) => {
      const both = answers.slice(at * families, (at + 1) * families)
      if (new Set(both).size > 1) return false
      return both[0] === 'answered'
    })
    .map(textOf)
}

/** What the tool reads out of the same manifests, in a folder of its own. */
function expectedOf(node: AgentNode, pods: readonly RunningPod[], step: Step): readonly string[] {
  const folder = join(node.folder, 'of-the-tool')
  mkdirSync(folder, { recursive: true })
  const objects = objectsOf(pods).map((object) => JSON.stringify(object))
  writeFileSync(join(folder, 'pods.yaml'), objects.join('\n---\n'))
  for (const file of ['cluster.yaml', step.file])
    if (file) writeFileSync(join(folder, file), textIn(file))
  const ran = run([executable, 'policy', 'matrix', '--from', folder, '--json'])
  if (ran.code !== 0) throw new Error(`tulle policy matrix: ${ran.stdout}${ran.stderr}`)
  const { allowed } = JSON.parse(ran.stdout) as { readonly allowed: readonly Flow[] }
  return allowed.map(textOf)
}

const textIn = (file: string): string => readFileSync(new URL(file, manifests), 'utf8')

const isAsExpected = ({ reached, expected }: Pick<Shown, 'reached' | 'expected'>): boolean =>
  reached.length === expected.length && expected.every((flow) => reached.includes(flow))

// ---- for people --------------------------------------------------------------------------------

const good = (text: string): string => styleText('green', text)
const bad = (text: string): string => styleText('red', text)
const faint = (text: string): string => styleText('dim', text)

function show(now: Shown, last: Shown | undefined): void {
  const title = now.file === undefined ? 'without policies' : now.file
  print(styleText('bold', `\n── ${title} ${'─'.repeat(Math.max(0, 72 - title.length))}`))
  print(`   ${now.title}\n`)
  for (const line of tableOf(now, last)) print(line)
  const count = `${now.reached.length} of ${flowsOf(wishes).length} flows go`
  if (isAsExpected(now)) {
    const took = now.file
      ? `; known ${now.milliseconds.toFixed(0)} ms after the file was there`
      : ''
    print(`\n${good('✓')} ${count}, as \`tulle policy matrix\` says${took}`)
  } else print(`\n${bad('✗')} ${count}; the tool says ${now.expected.length}`)
}

/** Who asks, line by line; whom, column by column. What the last step changed stands out. */
function tableOf(now: Shown, last: Shown | undefined): readonly string[] {
  const targets = [...new Map(flowsOf(wishes).map((flow) => [textOf({ ...flow, from: '' }), flow]))]
  const heads = targets.map(([, { to, port, protocol }]) => [
    to.split('/')[0] ?? '',
    to.split('/')[1] ?? '',
    `${port}/${protocol}`,
  ])
  const widths = heads.map((words) => Math.max(...words.map(({ length }) => length)))
  const name = 26
  const header = [0, 1, 2].map(
    (row) =>
      ' '.repeat(name) +
      heads.map((words, at) => words[row]?.padEnd((widths[at] ?? 0) + 2)).join(''),
  )
  const rows = wishes.map(({ key: from }) => {
    const cells = targets.map(([, flow], at) => {
      const blank = ' '.repeat((widths[at] ?? 0) + 1)
      if (flow.to === from) return `${faint('–')}${blank}`
      const text = textOf({ ...flow, from })
      const [is, was] = [now.reached.includes(text), last?.reached.includes(text)]
      if (was === undefined || is === was) return `${is ? '✓' : faint('·')}${blank}`
      return `${is ? good('✓') : bad('✗')}${faint(is ? '+' : '−')}${blank.slice(1)}`
    })
    return from.padEnd(name) + cells.join('')
  })
  const tidy = (line: string): string => line.trimEnd()
  return [...header.map((line) => faint(tidy(line))), ...rows.map(tidy)]
}

/** Links, addresses, routes and elements of pods; the agent's own table stays with the agent. */
async function leftovers(node: AgentNode, before: readonly string[]): Promise<readonly string[]> {
  const addresses = /10\.244\.1\.|fd10:1::|tul[0-9a-f]{11}/
  let left: readonly string[] = []
  for (let attempt = 0; attempt < 50; attempt++) {
    left = picture(node.netns).filter((line) => addresses.test(line) && !before.includes(line))
    if (left.length === 0) break
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return left
}

function printLeft(left: readonly string[]): void {
  print()
  if (left.length === 0) print(`${good('✓')} nothing is left of the pods: links, routes, nftables`)
  else for (const line of left) print(`${bad('✗ left behind:')} ${line}`)
}

await main()
