// `podman run` on its CNI back end (the last one that has it is 4.x) drives the packaged
// executable: VERSION on every start, then ADD, and DEL with what podman itself kept.

import t, { type Test } from 'tap'
import type { Json } from '../support/cni.ts'
import { uplink } from '../support/host.ts'
import { imageName } from './image.ts'
import { type Machine, withMachine } from './machine.ts'
import * as network from './network.ts'
import { type Mode, modes } from './network.ts'
import { Podman } from './podman.ts'
import { waitFor } from './wait-for.ts'

t.setTimeout(240_000)

for (const mode of modes) {
  t.test(`podman run, ${mode}`, (test) =>
    withMachine(test, async (machine) => {
      const { netns, dataDir } = machine.host
      const podman = podmanOn(machine, mode)
      const before = network.stateOf(netns)
      checkLife(test, podman)
      checkAskedAddresses(test, podman)
      podman.remove()
      test.same(network.stateOf(netns), before, 'nothing is left on the host')
      test.equal(network.heldAddresses(dataDir), 0, 'no lease is left')
      test.equal(machine.must(['ls', '/run/netns']), '', 'no namespace is left')
    }),
  )
}

for (const mode of modes) {
  t.test(`a port published by Debian's portmap behind ours, ${mode}`, (test) =>
    withMachine(test, async (machine) => {
      const { netns, outside, dataDir } = machine.host
      const portmap = { type: 'portmap', capabilities: { portMappings: true } }
      const podman = podmanOn(machine, mode, [portmap])
      const serve = ['httpd', '-f', '-p', '80', '-h', '/www']
      podman.start('web', { more: ['-p', '18081:80'], command: serve })
      const listening = () => podman.exec('web', ['ss', '-Htln']).stdout.includes(':80 ')
      await waitFor('the web server', listening)
      const fetched = outside.exec([process.execPath, '-e', get, `http://${uplink.node.v4}:18081/`])
      test.equal(fetched.stdout, 'served by a pod\n', `the world reaches it ${fetched.stderr}`)
      podman.remove()
      const left = network.stateOf(netns).filter((line) => /tul|tb0/.test(line))
      test.same(left, [], 'nothing of ours is left; chains of portmap may be')
      test.equal(network.heldAddresses(dataDir), 0, 'no lease is left')
    }),
  )
}

const get = `
  const answer = await fetch(process.argv[1], { signal: AbortSignal.timeout(5000) })
  process.stdout.write(await answer.text())`

function podmanOn(machine: Machine, mode: Mode, chained: readonly Json[] = []): Podman {
  const { directory, dataDir } = machine.host
  // Podman's libcni knows the specification up to 1.0.0.
  const cniVersion = '1.0.0'
  const plugin = { capabilities: { ips: true, mac: true } }
  const conflist = network.conflist({ cniVersion, mode, dataDir, plugin, chained })
  const pluginDir = network.writePluginDir(directory, { debian: ['portmap'] })
  return new Podman({ machine, pluginDir, conflist })
}

type Observed = Readonly<{ v4: string; v6: string; mac: string }>

/** What podman says of a container, after the kernel in the container said the same. */
function observe(test: Test, podman: Podman, name: string): Observed {
  const said = podman.settings(name)
  const shown = podman.exec(name, ['ip', 'addr', 'show', 'dev', 'eth0']).stdout
  const kernel = {
    v4: shown.match(/inet (\S+?)\//)?.[1],
    v6: shown.match(/inet6 (\S+?)\/\d+ scope global/)?.[1],
    mac: shown.match(/link\/ether (\S+)/)?.[1],
  }
  const observed = { v4: said.IPAddress, v6: said.GlobalIPv6Address, mac: said.MacAddress }
  test.same(observed, kernel, `${name}: podman reports what the kernel has`)
  return observed
}

function checkReach(test: Test, podman: Podman, name: string, peer: Observed): void {
  const inside = (argv: readonly string[]) => podman.exec(name, argv)
  const targets = [...network.beyondThePod, peer.v4, peer.v6]
  test.same(network.lostPings(inside, targets), [], `${name} reaches host, outside and peer`)
}

function checkLife(test: Test, podman: Podman): void {
  const { host } = podman.machine
  podman.start('a')
  podman.start('b')
  const [a, b] = [observe(test, podman, 'a'), observe(test, podman, 'b')]
  test.equal(podman.settings('a').Gateway, network.gateway.v4)
  checkReach(test, podman, 'a', b)
  const fromHost = (argv: readonly string[]) => host.netns.exec(argv)
  test.same(network.lostPings(fromHost, [a.v4, a.v6]), [], 'the host reaches a')

  podman.must(['restart', '-t', '0', 'a'])
  checkReach(test, podman, 'b', observe(test, podman, 'a'))
  podman.must(['stop', '-t', '0', 'b'])
  test.equal(network.heldAddresses(host.dataDir), 2, 'stop frees the addresses')
  podman.must(['start', 'b'])
  checkReach(test, podman, 'a', observe(test, podman, 'b'))

  test.match(podman.once(['ip', 'route']), /default via 10\.77\.0\.1/, 'run --rm')
  test.equal(network.heldAddresses(host.dataDir), 4, 'leaves no lease behind')
}

function checkAskedAddresses(test: Test, podman: Podman): void {
  const mac = '0a:58:0a:4d:00:4d'
  podman.start('one', { network: `callers:ip=10.77.0.77,mac=${mac}` }) // CNI_ARGS IP= and MAC=
  const one = observe(test, podman, 'one')
  test.same([one.v4, one.mac], ['10.77.0.77', mac], 'one address and a MAC')

  podman.start('two', { network: 'callers:ip=10.77.0.78,ip6=fd77::78' }) // runtimeConfig.ips
  const two = observe(test, podman, 'two')
  test.same([two.v4, two.v6], ['10.77.0.78', 'fd77::78'], 'one address of each family')
  checkReach(test, podman, 'one', two)

  const refused = podman.run(['run', '--rm', '--network', 'callers:ip=10.77.0.77', imageName])
  test.not(refused.code, 0, 'an address in use is refused')
  test.match(refused.stderr, /10\.77\.0\.77/, 'by name')
}
