import { closeSync, openSync } from 'node:fs'
import { test } from 'tap'
import type { Attachment } from '../../src/datapath/attachment.ts'
import {
  bridgeAddressStep,
  bridgeStep,
  hostSteps,
  markBridgeStep,
  markStep,
  podSteps,
  type Step,
  vethStep,
} from '../../src/datapath/steps.ts'
import { prefixOf } from '../../src/datapath/wiring.ts'
import { RouteSocket } from '../../src/kernel/route-socket.ts'
import { type IfIndex, setLink } from '../../src/wire/rtnl/link.ts'
import { attachmentOf, families, modes } from '../datapath/attachments.ts'
import { matchesGolden } from '../datapath/golden.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { placesIn } from './messages.ts'
import { Lodger } from './node.ts'

type Scene = Readonly<{
  node: Netns
  pod: Netns
  podFd: number
  host: RouteSocket
  inPod: RouteSocket
  /** How many messages each send(2) of the host's socket had. */
  sent: number[]
}>

async function withScene(use: (scene: Scene) => void): Promise<void> {
  const [node, pod] = [makeNetns('node'), makeNetns('pod')]
  const sent: number[] = []
  const lodger = new Lodger(node, (bytes) => {
    sent.push(placesIn(bytes).length)
    return bytes
  })
  const podFd = openSync(pod.path, 'r')
  try {
    const host = new RouteSocket(lodger.native, -1, 'the host')
    const inPod = new RouteSocket(lodger.native, podFd, 'the pod')
    use({ node, pod, podFd, host, inPod, sent })
  } finally {
    lodger.close()
    closeSync(podFd)
    for (const netns of [node, pod]) netns.close()
  }
}

function indexOf(socket: RouteSocket, name: string): IfIndex {
  const link = socket.link({ name })
  if (link === undefined) throw new Error(`Cannot go on: no link ${name}`)
  return link.index
}

/** Runs an attachment's steps as ADD does, without its sysctls. */
function wire({ host, inPod, podFd }: Scene, attachment: Attachment): void {
  const { bridge, link, ifname, mtuBytes } = attachment
  if (bridge) {
    host.create(bridgeStep(bridge.name, mtuBytes))
    host.run([markBridgeStep(bridge.name)])
    const index = indexOf(host, bridge.name)
    host.run(bridge.addresses.map((text) => bridgeAddressStep(bridge.name, index, prefixOf(text))))
    host.run([{ what: 'set it up', query: setLink({ index, up: true, noLinkLocal: true }) }])
  }
  host.create(vethStep(attachment, podFd))
  host.run([markStep(attachment)])
  const master = bridge ? indexOf(host, bridge.name) : undefined
  host.run(hostSteps(attachment, indexOf(host, link), master))
  inPod.run(podSteps(attachment, indexOf(inPod, ifname)))
}

/** What `ip` says, without what differs from run to run or comes a moment later. */
function shown(netns: Netns): readonly string[] {
  const said = [
    ['-o', 'link', 'show'],
    ['-o', 'addr', 'show', 'scope', 'global'],
    ['route', 'show', 'table', 'main'],
    ['-6', 'route', 'show', 'table', 'main'],
    ['neigh', 'show', 'nud', 'permanent'],
  ].map((words) => netns.ip(...words))
  return (
    said
      .join('\n')
      .split(/[\n\\]/)
      .map((line) =>
        line
          .trim()
          .replace(/^\d+: /, '')
          .replaceAll(/\s+/g, ' '),
      )
      .map((line) => line.replace(/@(if)?\w+:/, ':').replaceAll(/ (qlen|link-netns\w*) \S+/g, ''))
      .map((line) => line.replace(/ state \w+| qdisc \w+/g, '').replaceAll(/ linkdown/g, ''))
      // the other end may be up a moment later
      .map((line) => line.replace('NO-CARRIER,', '').replace(',LOWER_UP', ''))
      .filter((line) => line !== '' && !/^lo\b| fe80::|^fe80::|^link\/loopback/.test(line))
  )
}

for (const mode of modes)
  for (const wanted of families)
    test(`${mode} ${wanted}: after the steps \`ip\` shows what was meant`, async (t) =>
      withScene((scene) => {
        wire(scene, attachmentOf(mode, wanted))
        const lines = ['host', ...shown(scene.node), 'pod', ...shown(scene.pod)]
        matchesGolden(t, `kernel-${mode}-${wanted}`, lines)
      }))

test('all steps go in one send(2), in order', async (t) =>
  withScene((scene) => {
    const { host, podFd, sent } = scene
    const attachment = attachmentOf('routed', 'dual')
    host.create(vethStep(attachment, podFd))
    const index = indexOf(host, attachment.link)
    sent.length = 0
    const steps = hostSteps(attachment, index, undefined)
    host.run(steps)
    t.strictSame(sent, [steps.length])
  }))

const missing = (number: number): Step => ({
  what: `set link ${number} up`,
  query: setLink({ index: number as IfIndex, up: true }),
})
const ENODEV = 19

test('the first refusal is told: what was tried, where, and the kernel’s name for it', async (t) =>
  withScene(({ host }) => {
    t.throws(() => host.run([missing(4711), missing(4712)]), {
      name: 'KernelRefusal',
      errno: ENODEV,
      message: 'Cannot set link 4711 up (the host): ENODEV',
    })
  }))

test('the kernel’s own words are kept', async (t) =>
  withScene(({ host }) => {
    const EEXIST = 17
    host.create(bridgeStep('cni0', 1500))
    const index = indexOf(host, 'cni0')
    const step = bridgeAddressStep('cni0', index, prefixOf('10.1.0.1/24'))
    host.run([step])
    t.throws(() => host.run([{ what: step.what, query: step.query }]), {
      errno: EEXIST,
      message:
        /^Cannot add address 10\.1\.0\.1\/24 to bridge cni0 \(the host\): EEXIST( \(kernel: "|$)/,
    })
    t.doesNotThrow(() => host.run([step]), 'though to ADD it is as good as done')
  }))

test('what is settled for one step is a refusal for the next', async (t) =>
  withScene(({ host }) => {
    const settled = { ...missing(4711), settled: [ENODEV] }
    t.doesNotThrow(() => host.run([settled]))
    t.throws(() => host.run([settled, missing(4712)]), /link 4712/)
  }))

test('the kernel goes on after a refusal: undo has to look at every step', async (t) =>
  withScene(({ host }) => {
    host.create(bridgeStep('cni0', 1500))
    t.throws(() => host.run([missing(4711), markBridgeStep('cni0')]), /link 4711/)
    t.equal(host.link({ name: 'cni0' })?.alias, 'tulle1 bridge')
  }))

test('a link is made, or one of that name is there, or it is refused', async (t) =>
  withScene(({ host }) => {
    t.equal(host.create(bridgeStep('cni0', 1500)), true)
    t.equal(host.create(bridgeStep('cni0', 9000)), false)
    t.equal(host.link({ name: 'cni0' })?.mtuBytes, 1500, 'and the first is as it was')
    t.throws(() => host.create(bridgeStep('a name too long for a link', 1500)), {
      name: 'KernelRefusal',
      message: /^Cannot create bridge a name too long for a link \(the host\): E/,
    })
  }))

const one = { address: '10.1.0.5', subnetBits: 24, gateway: '10.1.0.1' }

// The reference bridge plugin takes these, so they are in use.
for (const { why, mode, more } of [
  ...modes.map((mode) => ({
    why: 'a pod with two addresses of one subnet',
    mode,
    more: { ips: [one, { ...one, address: '10.1.0.6' }] },
  })),
  {
    why: 'a route to the gateway',
    mode: 'bridge',
    more: { routes: [{ dst: '10.1.0.1/32', gw: null }] },
  },
  {
    why: 'a route to the subnet, which the kernel has made already,',
    mode: 'bridge',
    more: { routes: [{ dst: '10.1.0.0/24', gw: null }] },
  },
  {
    why: 'a route to the subnet, which is made for a routed pod anyway,',
    mode: 'routed',
    more: { routes: [{ dst: '10.1.0.0/24', gw: null }] },
  },
] as const) {
  test(`${mode}: ${why} is wired`, async (t) =>
    withScene((scene) => {
      t.doesNotThrow(() => wire(scene, attachmentOf(mode, 'v4', more)))
    }))
}
