import { podKey } from '../../src/cluster/pod.ts'
import { compile, emptyMemo } from '../../src/policy/compile.ts'
import { endpointOf } from '../../src/policy/endpoint.ts'
import { fromObjects } from '../../src/policy/from-objects.ts'
import { judge, partyOf } from '../../src/policy/judge.ts'
import { prepare } from '../../src/policy/prepare.ts'
import { protocolNumbers } from '../../src/policy/spans.ts'
import {
  clusterOfSize,
  nodeNameOf,
  podObject,
  policyObject,
  stateOfNode,
} from './policy-cluster.ts'

// What the policy engine costs, without a kernel: `node test/bench/policy-engine.ts`,
// and behind it how many pods and policies, if not 10,000 and 1,000.

const [pods = 10_000, policies = 1000] = process.argv.slice(2).map(Number)
const size = { namespaces: 100, pods, policies, nodes: 100 }
const fullRuns = 9
const changes = 300
const verdicts = 2_000_000

const print = (line: string): boolean => process.stdout.write(`${line}\n`)

const milliseconds = (run: () => void): number => {
  const begin = performance.now()
  run()
  return performance.now() - begin
}

function shown(what: string, times: readonly number[]): void {
  const sorted = times.toSorted((left, right) => left - right)
  const at = (share: number) => (sorted[Math.ceil(share * sorted.length) - 1] ?? 0).toFixed(2)
  print(`${what}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms (${times.length})`)
}

const clusterWith = (object: object) => fromObjects([{ place: '', object }]).cluster
const podAt = (at: number, app?: string) => clusterWith(podObject(size, at, app)).pods[0]
const policyAt = (at: number, port: number) => clusterWith(policyObject(size, at, port)).policies

const cluster = clusterOfSize(size)
const state = stateOfNode(cluster, nodeNameOf(0))
const memo = emptyMemo()
print(`${size.pods} pods, ${size.policies} policies, ${state.local.size} local addresses`)
shown(
  'full compile',
  Array.from({ length: fullRuns }, () => milliseconds(() => compile(state, emptyMemo()))),
)
const program = compile(state, memo)
print(
  `identities: ${new Set(program.identities.values()).size}, ` +
    `addresses: ${program.identities.size}, profiles: ${program.profiles.size}`,
)
shown(
  'nothing changed',
  Array.from({ length: changes }, () => milliseconds(() => compile(state, memo))),
)

/** A change a turn, made ready before the clock runs. */
function timed(what: string, prepareChange: (at: number) => () => void): void {
  const times: number[] = []
  for (let at = 0; at < changes; at++) {
    prepareChange(at)()
    times.push(milliseconds(() => compile(state, memo)))
  }
  shown(what, times)
}

timed('one pod more', (at) => {
  const pod = podAt(size.pods + at)
  return () => pod && state.pods.set(podKey(pod), pod)
})
timed('one pod less', (at) => {
  const pod = podAt(size.pods + at)
  return () => pod && state.pods.delete(podKey(pod))
})
timed('one pod of a new kind', (at) => {
  const pod = podAt(size.pods + at, `app-${at}`)
  return () => pod && state.pods.set(podKey(pod), pod)
})
timed('one policy edited', (at) => {
  const policies = policyAt(at, 9000 + at)
  const [first] = policies
  return () =>
    first && state.policies.set(`${first.kind} ${first.namespace}/${first.name}`, [...policies])
})
timed('one policy less', (at) => {
  const [first] = policyAt(at, 9000 + at)
  return () => first && state.policies.delete(`${first.kind} ${first.namespace}/${first.name}`)
})

const asked = [80, 5432, 8080, 53].map((port) => ({ protocol: protocolNumbers.TCP, port }))
const local = [...state.local.values()].map(({ address }) => partyOf(program, address))
const others = cluster.pods
  .slice(0, 1000)
  .flatMap((pod) => pod.addresses.slice(0, 1).map((address) => partyOf(program, address)))
const ofFirstFamily = local.filter(({ address }) => address.family === 4)
let allowed = 0
const judging = milliseconds(() => {
  for (let at = 0; at < verdicts; at++) {
    const from = ofFirstFamily[at % ofFirstFamily.length]
    const to = others[at % others.length]
    const port = asked[at & 3]
    if (from && to && port && judge(from, to, port).isAllowed) allowed++
  }
})
print(
  `judge: ${Math.round((verdicts / judging) * 1000).toLocaleString('en')} verdicts a second ` +
    `(${((allowed / verdicts) * 100).toFixed(1)} % allowed)`,
)
const endpoints = cluster.pods
  .slice(0, 1000)
  .flatMap((pod) => pod.addresses.slice(0, 1).map((address) => endpointOf(pod, address)))
const { isAllowed } = prepare(cluster, endpoints)
const ready = milliseconds(() => {
  for (let at = 0; at < verdicts; at++)
    isAllowed(at % endpoints.length, (at * 7) % endpoints.length, 'TCP', asked[at & 3]?.port ?? 0)
})
print(`prepare: ${Math.round((verdicts / ready) * 1000).toLocaleString('en')} verdicts a second`)
print(`heap: ${(process.memoryUsage().heapUsed / 2 ** 20).toFixed(0)} MiB`)
