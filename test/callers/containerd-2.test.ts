// The newest containerd (Debian sid's package, unpacked beside the system) speaks CNI 1.1.0: every
// CRI Status, which a kubelet asks every few seconds, is a STATUS of the packaged executable.
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { unpackFrom } from '../bench/debian.ts'
import { Containerd } from './containerd.ts'
import type { Condition } from './cri.ts'
import { checkAddresses, checkReach, runPod, stopAndRemove } from './cri-pod.ts'
import { withMachine } from './machine.ts'
import * as network from './network.ts'
import { modes } from './network.ts'
import { waitFor } from './wait-for.ts'

t.setTimeout(300_000)

const unpacked = await unpackFrom('sid', 'containerd')
const binDir = join(unpacked.root, 'usr/bin')

for (const mode of modes) {
  t.test(`pods and STATUS of containerd ${unpacked.version}, ${mode}`, (test) =>
    withMachine(test, async (machine) => {
      const { netns, directory, dataDir } = machine.host
      const rangeEnd = '10.77.0.3' // the gateway has .1: two pods fill the pool
      const conflist = network.conflist({ cniVersion: '1.1.0', mode, dataDir, rangeEnd })
      const pluginDir = network.writePluginDir(directory, { debian: ['loopback'] })
      const own = { machine, pluginDir, conflist, binDir, format: 3 } as const
      const containerd = new Containerd(own)
      await containerd.start()
      containerd.importImage()
      const before = network.stateOf(netns)

      await checkStatus(test, containerd)
      test.same(network.stateOf(netns), before, 'nothing is left on the host')
      test.equal(network.heldAddresses(dataDir), 0, 'no lease is left')
    }),
  )
}

async function checkStatus(test: Test, containerd: Containerd): Promise<void> {
  const ready = async () => (await networkReady(containerd)).status
  await waitFor('the network', ready)
  const a = await runPod(containerd, 'a')
  test.ok(await ready(), 'one address is left')
  const b = await runPod(containerd, 'b')
  checkAddresses(test, containerd, a)
  checkReach(test, containerd, a, b)

  const full = await networkReady(containerd)
  test.notOk(full.status, 'a full pool makes the node not ready')
  test.match(full.message, /10\.77\.0\.3 is leased/, "and the node's condition names it")
  await stopAndRemove(containerd, a)
  test.ok(await ready(), 'ready again with one pod less')
  await stopAndRemove(containerd, b)
}

async function networkReady({ cri }: Containerd): Promise<Condition> {
  const found = (await cri.conditions()).find(({ type }) => type === 'NetworkReady')
  if (found === undefined) throw new Error('The runtime reports no NetworkReady')
  return found
}
