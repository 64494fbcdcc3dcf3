// Debian's containerd (1.6, CNI up to 1.0.0) drives the packaged executable when its CRI is called
// as the kubelet calls it: ADD, then DEL twice for every pod, the second one without a namespace.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Json } from '../support/cni.ts'
import { uplink } from '../support/host.ts'
import { Containerd } from './containerd.ts'
import { checkAddresses, checkReach, inPod, runPod, stopAndRemove } from './cri-pod.ts'
import { type Machine, withMachine } from './machine.ts'
import * as network from './network.ts'
import { modes } from './network.ts'
import { waitFor } from './wait-for.ts'

t.setTimeout(240_000)

for (const mode of modes) {
  t.test(`pods of containerd's CRI, ${mode}`, (test) =>
    withMachine(test, async (machine) => {
      const { netns, dataDir } = machine.host
      const base = { cniVersion: '1.0.0', mode, dataDir }
      const containerd = await startContainerd(machine, network.conflist(base))
      const before = network.stateOf(netns)

      await checkPods(test, containerd)
      const plugin = { capabilities: { portMappings: true, bandwidth: true } }
      await checkCapabilities(test, containerd, network.conflist({ ...base, plugin }))

      test.same(await containerd.cri.list(), [], 'every pod is removed')
      test.same(network.stateOf(netns), before, 'nothing is left on the host')
      test.equal(network.heldAddresses(dataDir), 0, 'no lease is left')
      test.equal(machine.must(['ls', '/run/netns']), '', 'no namespace is left')
    }),
  )
}

async function startContainerd(machine: Machine, conflist: Json): Promise<Containerd> {
  // containerd runs a `loopback` plugin in every pod; Debian's stands beside ours.
  const pluginDir = network.writePluginDir(machine.host.directory, { debian: ['loopback'] })
  const containerd = new Containerd({ machine, pluginDir, conflist })
  await containerd.start()
  containerd.importImage()
  return containerd
}

async function checkPods(test: Test, containerd: Containerd): Promise<void> {
  const { machine } = containerd
  const held = () => network.heldAddresses(machine.host.dataDir)
  const a = await runPod(containerd, 'a')
  const b = await runPod(containerd, 'b')
  test.equal(a.ips.length, 2, 'an address of each family')
  checkAddresses(test, containerd, a)
  checkAddresses(test, containerd, b)
  checkReach(test, containerd, a, b)

  await containerd.stop()
  checkReach(test, containerd, b, a)
  await containerd.start()
  test.same((await containerd.cri.sandbox(a.id)).ips, a.ips, 'a restart keeps the addresses')

  await containerd.cri.stop(a.id)
  test.notOk((await containerd.cri.sandbox(a.id)).ready, 'a is stopped')
  test.equal(held(), 2, 'and its addresses are free')
  checkReach(test, containerd, b, await runPod(containerd, 'c'))
  await containerd.cri.remove(a.id)

  // Somebody took the namespace's name away while a process keeps the namespace, and so the veth,
  // alive: containerd sends DEL with an empty CNI_NETNS, and the host end must go all the same.
  const holder = machine.daemon('holder', inPod(b, ['sleep', '1000']))
  const links = () => network.stateOf(machine.host.netns).filter((line) => /^(tul|veth)/.test(line))
  const before = links().length
  machine.must(['ip', 'netns', 'del', b.netnsPath.replace(/.*\//, '')])
  await stopAndRemove(containerd, b)
  test.ok(links().length < before, 'hostless DEL removes the host end')
  test.equal(held(), 2, 'and frees the addresses')
  await holder.stop()

  for (const id of await containerd.cri.list()) {
    await containerd.cri.stop(id)
    await containerd.cri.remove(id)
  }
}

/** The kubelet's annotations and port mappings, by the capabilities of one plugin. */
async function checkCapabilities(
  test: Test,
  containerd: Containerd,
  conflist: Json,
): Promise<void> {
  await containerd.stop()
  containerd.writeConflist(conflist)
  await containerd.start()
  const { machine, cri } = containerd
  const annotations = {
    'kubernetes.io/ingress-bandwidth': '20M',
    'kubernetes.io/egress-bandwidth': '10M',
  }
  const pod = { name: 'd', cgroupParent: machine.cgroup, hostPort: 18_080, annotations }
  const sandbox = await cri.sandbox(await cri.run(pod))
  const page = join(machine.host.directory, 'index.html')
  writeFileSync(page, 'served by a pod\n')
  const serve = ['/bin/busybox', 'httpd', '-f', '-p', '80', '-h', machine.host.directory]
  const web = machine.daemon('web', inPod(sandbox, serve))
  const fetched = `
    const answer = await fetch('http://${uplink.node.v4}:18080/')
    process.stdout.write(await answer.text())`
  const get = () => machine.host.outside.exec([process.execPath, '-e', fetched])
  await waitFor('the pod behind its host port', () => get().stdout === 'served by a pod\n')
  test.equal(get().code, 0, 'the world reaches the pod by the host port')
  const second = cri.run({ ...pod, name: 'e' })
  await test.rejects(second, /tcp port 18080 .* leads to/, 'which can be had once')
  const rates = machine.must(['tc', 'qdisc', 'show']).match(/tbf .*? rate \S+/g)
  test.match(rates?.join(), /20Mbit/, 'ingress bandwidth')
  test.match(rates?.join(), /10Mbit/, 'egress bandwidth')
  await web.stop()
  await stopAndRemove(containerd, sandbox)
}
