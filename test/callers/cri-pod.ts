import type { Test } from 'tap'
import type { Containerd } from './containerd.ts'
import type { Sandbox } from './cri.ts'
import * as network from './network.ts'

/** Runs a pod and asks for its status, as the kubelet does. */
export async function runPod(containerd: Containerd, name: string): Promise<Sandbox> {
  const { cri, machine } = containerd
  return cri.sandbox(await cri.run({ name, cgroupParent: machine.cgroup }))
}

export async function stopAndRemove({ cri }: Containerd, { id }: Sandbox): Promise<void> {
  await cri.stop(id)
  await cri.remove(id)
}

/** What the status says is what the kernel has in the pod. */
export function checkAddresses(test: Test, { machine }: Containerd, pod: Sandbox): void {
  const shown = machine.must(inPod(pod, ['ip', '-j', 'addr', 'show', 'dev', 'eth0']))
  const [link] = JSON.parse(shown) as { addr_info: { local: string; scope: string }[] }[]
  const global = link?.addr_info.filter(({ scope }) => scope === 'global') ?? []
  test.same(pod.ips.toSorted(), global.map(({ local }) => local).toSorted())
}

export function checkReach(test: Test, { machine }: Containerd, from: Sandbox, to: Sandbox): void {
  const inside = (argv: readonly string[]) => machine.exec(inPod(from, argv))
  const targets = [...network.beyondThePod, ...to.ips]
  test.same(network.lostPings(inside, targets), [], 'a pod reaches host, outside and peer')
  const fromHost = (argv: readonly string[]) => machine.exec(argv)
  test.same(network.lostPings(fromHost, from.ips), [], 'the host reaches the pod')
}

/** A command in the pod's network namespace, found by its path as a runtime finds it. */
export function inPod({ netnsPath }: Sandbox, argv: readonly string[]): readonly string[] {
  return ['nsenter', `--net=${netnsPath}`, ...argv]
}
