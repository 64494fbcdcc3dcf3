// The agent serves the plugin's calls: through the launcher, by the packaged executable.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { test } from 'tap'
import type { AgentStatus } from '../../src/serve/agent-status.ts'
import { call, callLater, type Json, type Verb } from '../support/cni.ts'
import { LauncherFile } from '../support/launcher-file.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { RunningAgent, until, writeNodes } from './running-agent.ts'

const node = { name: 'a', address: '192.0.2.1', podCIDRs: ['10.244.1.0/24'] }

type Place = {
  readonly netns: Netns
  readonly pod: Netns
  readonly agent: RunningAgent
  readonly launcher: LauncherFile
  readonly nodesFile: string
  /** What a runtime asks. */
  readonly request: (verb: Verb, more?: Json) => Parameters<typeof call>[0]
}

async function withPlace(use: (place: Place) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tt-calls-'))
  const [netns, pod] = [makeNetns('node'), makeNetns('pod')]
  const launcher = new LauncherFile()
  const nodesFile = join(folder, 'nodes.yaml')
  const policies = join(folder, 'policies')
  mkdirSync(policies)
  const words = ['--nodes-file', nodesFile, '--policy-files', policies]
  const agent = new RunningAgent(netns, node.name, words)
  const conf = {
    cniVersion: '1.1.0',
    name: 'tulle',
    type: 'tulle',
    dataDir: join(agent.folder, 'data'),
    ipam: { type: 'host-local', ranges: node.podCIDRs.map((subnet) => [{ subnet }]) },
  }
  const request = (verb: Verb, more: Json = {}): Parameters<typeof call>[0] => ({
    verb,
    conf: { ...conf, ...more },
    node: netns,
    container: 'c1',
    netns: pod.path,
    ifname: 'eth0',
    path: '/opt/cni/bin',
    plugin: launcher.path,
    args: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=api',
  })
  symlinkSync(join(agent.folder, 'run', 'cni.sock'), launcher.socket)
  try {
    netns.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'wire')
    for (const name of ['eth0', 'wire']) netns.ip('link', 'set', name, 'up')
    netns.ip('addr', 'add', `${node.address}/24`, 'dev', 'eth0')
    await use({ netns, pod, agent, launcher, nodesFile, request })
  } finally {
    await agent.close()
    for (const one of [pod, netns]) one.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** A ready agent whose worker listens: from here on nobody starts a process in its place. */
async function served({ agent, launcher, nodesFile, request }: Place): Promise<Served> {
  writeNodes(nodesFile, [node])
  await agent.start().ready()
  const counts = async (): Promise<Counts> => {
    const { calls } = await agent.status()
    if (!calls) throw new Error('Cannot count: this agent serves no calls')
    return calls
  }
  await until('a call to be served', async () => {
    call(request('VERSION'))
    return (await counts()).served > 0
  })
  const [before, started] = [await counts(), launcher.started().length]
  return {
    started: () => launcher.started().slice(started),
    counts: async () => {
      const now = await counts()
      const since = (key: keyof Counts): number => now[key] - before[key]
      return { served: since('served'), failed: since('failed'), left: since('left') }
    },
  }
}
type Counts = NonNullable<AgentStatus['calls']>
type Served = {
  /** Calls that became processes since. */
  readonly started: () => readonly string[]
  readonly counts: () => Promise<Counts>
}

const linksIn = (netns: Netns): readonly string[] =>
  netns.ipJson('link', 'show', 'type', 'veth').map(({ ifname }) => String(ifname))

test('calls are served, and counted', (t) =>
  withPlace(async (place) => {
    const { agent, request, pod } = place
    const { started, counts } = await served(place)
    const added = call(request('ADD'))
    t.equal(added.code, 0, added.stdout)
    const prevResult = JSON.parse(added.stdout) as Json
    t.equal(call(request('CHECK', { prevResult })).code, 0)
    t.equal(call(request('STATUS')).code, 0)
    t.equal(call(request('ADD')).code, 1, 'it is attached already')
    t.equal(call(request('DEL', { prevResult })).code, 0)
    t.strictSame(linksIn(pod), [], 'gone when DEL has answered')
    t.equal(call(request('GC', { 'cni.dev/valid-attachments': [] })).code, 0)
    t.match(started(), [/^GC tulle/], 'GC alone was left to a process')
    t.equal(started().length, 1)
    t.strictSame(await counts(), { served: 4, failed: 1, left: 1 })
    const { body } = await agent.get('/metrics')
    t.match(body, /tulle_cni_calls_total\{outcome="left"\} [1-9]/)
  }))

test('STATUS tells what only the agent knows', (t) =>
  withPlace(async ({ agent, nodesFile, request }) => {
    agent.start()
    await until('the socket', () => agent.status())
    const refused = await until('a refusal', () => {
      const { code, stdout } = call(request('STATUS'))
      return code === 1 ? (JSON.parse(stdout) as Json) : undefined
    })
    t.equal(refused.code, 51)
    t.match(String(refused.details), /nothing is known of the cluster/)
    writeNodes(nodesFile, [node])
    await agent.ready()
    await until('STATUS to be well', () => call(request('STATUS')).code === 0)
  }))

for (const signal of ['SIGTERM', 'SIGKILL'] as const)
  test(`${signal} for the agent while an ADD waits for its verdicts`, (t) =>
    withPlace(async (place) => {
      const { agent, request, netns, pod } = place
      const { started } = await served(place)
      const policy = { enforce: true, waitSeconds: 5, runDir: join(agent.folder, 'run') }
      const adding = callLater(request('ADD', { policy }))
      await until('the pod to have its link', () => linksIn(pod).length > 0)
      await pause(100)
      await agent.end(signal)
      const added = await adding
      t.equal(added.code, 0, added.stdout)
      t.match(added.stderr, /the pod is closed until its policies are known/)
      const repeats = started()
      t.ok(repeats.length === 0 || repeats.join() === 'ADD tulle 1', repeats.join())
      if (signal === 'SIGKILL') t.equal(repeats.length, 1)
      t.equal(linksIn(netns).filter((name) => name.startsWith('tul')).length, 1)
      t.equal(call(request('DEL', { policy })).code, 0)
      t.strictSame(linksIn(pod), [])
      t.notMatch(netns.exec(['nft', 'list', 'ruleset']).stdout, /10\.244\.1\.[0-9]+ /)
    }))
