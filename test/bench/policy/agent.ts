// What policies cost an agent: the packaged one, on the API of 10,000 pods and 1,000 policies, with
// 100 pods of its own node on record. policy/main.ts runs it in a network namespace that is the
// underlay, and ends with it. Prints its figures as JSON.
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Attachment } from '../../../src/datapath/attachment.ts'
import { loadNative } from '../../../src/kernel/native.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from '../../../src/kernel/netlink-socket.ts'
import { rulesetNumber } from '../../../src/kernel/ruleset-number.ts'
import { LeaseStore } from '../../../src/store/lease-store.ts'
import { ApiServer } from '../../support/api-server.ts'
import type { ApiObject } from '../../support/api-store.ts'
import type { Netns } from '../../support/netns.ts'
import { apiPort, tulle } from '../nodes/contender.ts'
import { nodeObject } from '../nodes/fleet.ts'
import { memoryMiB } from '../nodes/process-figures.ts'
import { makeUnderlay } from '../nodes/underlay.ts'
import { podAddress, spreadSpec } from './world.ts'

export type AgentFigures = Readonly<{
  pods: number
  policies: number
  /** From the API's event to the kernel's commit, each. */
  podMs: readonly number[]
  policyMs: readonly number[]
  memory: { readonly now: number; readonly peak: number }
}>

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, json: { type: 'boolean' } } })
const plan = values.quick
  ? { pods: 500, policies: 100, changes: 10 }
  : { pods: 10_000, policies: 1_000, changes: 100 }
const spaces = Math.max(1, plan.policies / 10)
const apps = 10
const localEvery = plan.pods / 100
const limitMilliseconds = 60_000

const pods = '/pods'
const policies = 'networking.k8s.io/networkpolicies'

function podObject(at: number, nodeName: string, app = Math.floor(at / spaces) % apps): ApiObject {
  const namespace = `ns-${at % spaces}`
  const ip = podAddress(at + 256)
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `pod-${at}`,
      namespace,
      labels: { app: `app-${app}`, replica: `${at % 3}`, 'pod-template-hash': `${app}f9c7` },
      annotations: { 'example.com/config': 'a'.repeat(500) },
    },
    spec: {
      nodeName,
      serviceAccountName: 'default',
      containers: [{ name: 'app', image: 'example/app:1', ports: [{ containerPort: 8080 }] }],
    },
    status: { phase: 'Running', podIP: ip, podIPs: [{ ip }], hostIP: '10.99.0.2' },
  }
}

const policyObject = (number: number): ApiObject => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: `policy-${number}`, namespace: `ns-${number % spaces}` },
  spec: spreadSpec(number, spaces),
})

const nodeOf = (at: number): string => (at % localEvery === 0 ? 'tulle' : 'elsewhere')

function fill({ store }: ApiServer, node: ApiObject): void {
  store.put('/nodes', node)
  for (let at = 0; at < spaces; at++) {
    const name = `ns-${at}`
    const labels = { 'kubernetes.io/metadata.name': name }
    store.put('/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } })
  }
  for (let at = 0; at < plan.pods; at++) store.put(pods, podObject(at, nodeOf(at)))
  for (let at = 0; at < plan.policies; at++) store.put(policies, policyObject(at))
}

/** As ADDs would have left them, without the pods themselves. */
function record(dataDir: string): void {
  LeaseStore.use(dataDir, loadNative().lock, (store) => {
    for (let at = 0; at < plan.pods; at += localEvery) store.putAttachment(attachmentOf(at))
  })
}

const attachmentOf = (at: number): Attachment => ({
  network: 'tulle',
  container: `c${at}`,
  ifname: 'eth0',
  mode: 'routed',
  link: `tul${String(at).padStart(11, '0')}`,
  mtuBytes: 1450,
  podMac: '02:00:00:00:00:01',
  hostMac: '02:00:00:00:00:02',
  bridge: null,
  ips: [{ address: podAddress(at + 256), subnetBits: 24, gateway: null }],
  routes: [],
  masqueradeExcept: null,
  spoofCheck: false,
  isPoliced: true,
  pod: { namespace: `ns-${at % spaces}`, name: `pod-${at}` },
})

/** The number of a namespace's nftables ruleset, which each commit raises. */
class Ruleset {
  readonly #socket: NetlinkSocket

  constructor(netns: Netns) {
    this.#socket = new NetlinkSocket(loadNative(), openSync(netns.path, 'r'), NETLINK_NETFILTER)
  }

  number(): number {
    return rulesetNumber(this.#socket)
  }

  /** Milliseconds from `begin` to the next commit. */
  async change(begin: () => void): Promise<number> {
    const before = this.number()
    const began = performance.now()
    begin()
    while (this.number() === before) {
      await turn()
      if (performance.now() - began > limitMilliseconds)
        throw new Error(`Cannot see a commit in ${limitMilliseconds} ms`)
    }
    return performance.now() - began
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
/** What else there is to do in this process, which is the API server too. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function sample(ruleset: Ruleset, change: (number: number) => void): Promise<number[]> {
  const times: number[] = []
  for (let number = 0; number < plan.changes; number++) {
    times.push(await ruleset.change(() => change(number)))
    await pause(30)
  }
  return times
}

async function main(): Promise<AgentFigures> {
  const folder = mkdtempSync(join(tmpdir(), 'tulle-bench-agent-'))
  const underlay = makeUnderlay()
  const api = new ApiServer()
  let agent: ChildProcess | undefined
  try {
    const node = underlay.join('tulle')
    const ruleset = new Ruleset(node.netns)
    fill(api, nodeObject(node.name, 20_000, node.address))
    await api.listen({ host: underlay.address, port: apiPort })
    const contender = tulle(node, underlay.address, folder)
    record(join(folder, 'tulle-data'))
    await ruleset.change(() => {
      agent = contender.start()
    })
    await pause(3_000)
    const podMs = await sample(ruleset, (number) => {
      const at = plan.pods + number
      api.store.put(pods, podObject(at, 'elsewhere', number % apps))
    })
    const policyMs = await sample(ruleset, (number) => {
      api.store.put(policies, policyObject((plan.policies + number) * spaces))
    })
    const memory = memoryMiB(agent?.pid ?? 0)
    return { pods: plan.pods, policies: plan.policies, podMs, policyMs, memory }
  } finally {
    agent?.kill('SIGTERM')
    await pause(300)
    agent?.kill('SIGKILL')
    await api.stop()
    underlay.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

process.stdout.write(`${JSON.stringify(await main())}\n`)
process.exit()
