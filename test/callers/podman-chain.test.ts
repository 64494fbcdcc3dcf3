// What podman itself chains behind a bridge (`podman network create` writes bridge, portmap,
// firewall and tuning): once in one process, once by the reference plugins' names, which are links
// to the packaged executable.

import t, { type Test } from 'tap'
import type { Json } from '../support/cni.ts'
import { uplink } from '../support/host.ts'
import { type Machine, withMachine } from './machine.ts'
import * as network from './network.ts'
import { modes } from './network.ts'
import { Podman } from './podman.ts'
import { waitFor } from './wait-for.ts'

t.setTimeout(240_000)

const cniVersion = '1.0.0'
const ports = { capabilities: { portMappings: true } }

for (const mode of modes)
  t.test(`a published port in one process, ${mode}`, (test) =>
    withMachine(test, async (machine) => {
      const { directory, dataDir } = machine.host
      const plugin = { capabilities: { portMappings: true, ips: true, mac: true } }
      const conflist = network.conflist({ cniVersion, mode, dataDir, plugin })
      await checkPublished(test, machine, network.writePluginDir(directory), conflist)
    }),
  )

t.test("podman's own chain, on links", (test) =>
  withMachine(test, async (machine) => {
    const { directory, dataDir } = machine.host
    const names = ['bridge', 'portmap', 'firewall', 'tuning']
    const pluginDir = network.writePluginDir(directory, { ours: names })
    const plugin = { type: 'bridge', mode: undefined, spoofCheck: undefined }
    const chained = [
      { type: 'portmap', ...ports },
      { type: 'firewall', backend: '' },
      { type: 'tuning' },
    ]
    const asked = { cniVersion, mode: 'bridge', dataDir, plugin, chained } as const
    await checkPublished(test, machine, pluginDir, network.conflist(asked))
  }),
)

async function checkPublished(
  test: Test,
  machine: Machine,
  pluginDir: string,
  conflist: Json,
): Promise<void> {
  const { netns, outside, dataDir } = machine.host
  const podman = new Podman({ machine, pluginDir, conflist })
  const before = network.stateOf(netns)
  const serve = ['httpd', '-f', '-p', '80', '-h', '/www']
  podman.start('web', { more: ['-p', '18081:80'], command: serve })
  podman.start('other')
  await waitFor('the web server', () => podman.exec('web', ['ss', '-Htln']).stdout.includes(':80 '))
  const get4 = `http://${uplink.node.v4}:18081/`
  const fetched = (exec: network.Exec, url: string): string =>
    exec([process.execPath, '-e', get, url]).stdout
  const served = 'served by a pod\n'
  test.equal(
    fetched((argv) => outside.exec(argv), get4),
    served,
    'from outside',
  )
  test.equal(
    fetched((argv) => netns.exec(argv), get4),
    served,
    'from the host',
  )
  test.equal(
    fetched((argv) => netns.exec(argv), 'http://127.0.0.1:18081/'),
    served,
    'from localhost',
  )
  test.equal(
    fetched((argv) => podman.exec('other', argv), get4),
    served,
    'from another pod',
  )
  test.equal(
    fetched((argv) => podman.exec('web', argv), get4),
    served,
    'from the pod itself',
  )
  podman.remove()
  test.same(network.stateOf(netns), before, 'nothing is left on the host')
  test.equal(network.heldAddresses(dataDir), 0, 'no lease is left')
}

const get = `
  const answer = await fetch(process.argv[1], { signal: AbortSignal.timeout(5000) })
  process.stdout.write(await answer.text())`
