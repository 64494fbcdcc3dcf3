// The real kernel can't be stopped between two questions; its model can.
import { test } from 'tap'
import { Drift } from '../../src/agent/drift.ts'
import { FabricLoop } from '../../src/agent/fabric-loop.ts'
import { Findings } from '../../src/agent/findings.ts'
import { Snapshot } from '../../src/agent/snapshot.ts'
import { defaultOverlay } from '../../src/overlay/options.ts'
import type { HostView } from '../../src/overlay/self.ts'
import { KernelModel } from '../sim/kernel-model.ts'
import { nodeOf } from './cluster.ts'
import { FakeClock } from './fake-clock.ts'

const nodes = [
  nodeOf({ name: 'a', addresses: ['10.0.0.1'], podCIDRs: ['10.244.1.0/24'] }),
  nodeOf({ name: 'b', addresses: ['10.1.0.1'], podCIDRs: ['10.244.2.0/24'] }),
]
const address = { address: nodes[0]!.addresses[0]!, bits: 24 }
const viewOf = (isUp: boolean): HostView => ({
  links: [{ name: 'eth0', mtuBytes: 1500, isUp, addresses: [address] }],
})

function makeLoop(kernel: KernelModel, indexOf: (name: string) => number | undefined) {
  const clock = new FakeClock()
  const snapshot = new Snapshot()
  const loop = new FabricLoop({
    nodeName: 'a',
    overlay: defaultOverlay,
    resyncMilliseconds: 1e9,
    snapshot,
    fabric: kernel,
    indexOf,
    drift: new Drift(clock, () => undefined),
    findings: new Findings(clock, () => undefined),
    onConverged: () => undefined,
    onSelf: () => undefined,
    onReady: () => undefined,
    clock,
    random: () => 0.5,
    onError: () => undefined,
  })
  loop.nodesChanged(snapshot.take({ kind: 'all', nodes }, 'live'))
  return { clock, loop }
}

test('a device that goes between being made and being watched comes back', async (t) => {
  const kernel = new KernelModel(viewOf(true))
  let hasGone = false
  const { clock, loop } = makeLoop(kernel, (name) => {
    // Its notice would bear an index that nobody knows yet.
    if (name === 'tulle.1' && kernel.indexOf(name) !== undefined && !hasGone) {
      hasGone = true
      kernel.forget()
    }
    return kernel.indexOf(name)
  })
  await clock.pass(100)
  t.equal(hasGone, true)
  t.same(
    kernel.devices.map(({ name }) => name),
    ['tulle.1'],
  )
  t.same([...kernel.entries.keys()].toSorted(), [...loop.weave.wanted.keys()].toSorted())
})

test('an uplink that goes between being seen and being watched is missed', async (t) => {
  const kernel = new KernelModel(viewOf(true))
  let looks = 0
  const { clock, loop } = makeLoop(kernel, (name) => {
    if (name !== 'eth0') return kernel.indexOf(name)
    looks++
    if (looks === 1) kernel.setView(viewOf(false))
    return looks === 1 ? undefined : kernel.indexOf(name)
  })
  await clock.pass(100)
  const isUplink = loop.notice(16, linkNotice('eth0'))?.kind
  t.equal(isUplink, 'uplink', 'whatever comes of that name is looked at')
  t.ok(loop.loop.status.runs < 20, `${loop.loop.status.runs} runs`)
})

/** Body of RTM_NEWLINK: struct ifinfomsg, IFLA_IFNAME. */
function linkNotice(name: string): Uint8Array {
  const text = new TextEncoder().encode(`${name}\0`)
  const body = new Uint8Array(16 + 4 + text.length)
  new DataView(body.buffer).setInt32(4, 99, true)
  new DataView(body.buffer).setUint16(16, 4 + text.length, true)
  new DataView(body.buffer).setUint16(18, 3, true)
  body.set(text, 20)
  return body
}
