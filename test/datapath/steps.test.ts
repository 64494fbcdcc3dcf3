import { test } from 'tap'
import type { Attachment } from '../../src/datapath/attachment.ts'
import {
  announceStep,
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
import type { IfIndex } from '../../src/wire/rtnl/link.ts'
import { attachmentOf, families, modes } from './attachments.ts'
import { matchesGolden } from './golden.ts'
import { printRoute } from './printed.ts'

const [host, pod, bridge] = [7, 8, 9].map((number) => number as IfIndex)

const stepLines = ({ what, query, settled }: Step): readonly string[] => [
  settled === undefined ? what : `${what} (${settled.join(' ')} is as good)`,
  ...printRoute(query).map((line) => `  ${line}`),
]

function stepsOf(attachment: Attachment): readonly Step[] {
  if (host === undefined || pod === undefined) return []
  const { bridge: wish, mtuBytes } = attachment
  return [
    ...(wish ? [bridgeStep(wish.name, mtuBytes), markBridgeStep(wish.name)] : []),
    vethStep(attachment, 12),
    markStep(attachment),
    ...hostSteps(attachment, host, wish ? bridge : undefined),
    ...podSteps(attachment, pod),
    ...(wish ? [announceStep(attachment, pod)] : []),
  ]
}

for (const mode of modes)
  for (const wanted of families)
    test(`the steps of ${mode} ${wanted}`, async (t) =>
      matchesGolden(
        t,
        `steps-${mode}-${wanted}`,
        stepsOf(attachmentOf(mode, wanted)).flatMap(stepLines),
      ))

const whats = (steps: readonly Step[]): readonly string[] => steps.map(({ what }) => what)

test('IPv4 addresses come before the pod’s end is up, so that ARP can tell of them', async (t) => {
  for (const mode of modes) {
    const steps = whats(podSteps(attachmentOf(mode, 'dual'), 8 as IfIndex))
    const up = steps.findIndex((what) => what.startsWith('set eth0 up'))
    t.ok(up > steps.findIndex((what) => what.includes('address 10.1.0.5')), mode)
    t.ok(up < steps.findIndex((what) => what.includes('address fd00:1::5')), mode)
  }
})

test('a neighbour is known before the route that needs it', async (t) => {
  const steps = whats(podSteps(attachmentOf('routed', 'dual'), 8 as IfIndex))
  const last = steps.findLastIndex((what) => what.startsWith('add neighbour'))
  t.ok(last < steps.findIndex((what) => what.startsWith('add route')))
})

test('a port is set as the network wants it', async (t) => {
  const { bridge: wish, ...rest } = attachmentOf('bridge', 'v4')
  const port = { ...rest, bridge: wish && { ...wish, hairpin: true, isolated: true } }
  const steps = hostSteps(port, 7 as IfIndex, 9 as IfIndex).map((step) => stepLines(step))
  t.match(steps.at(-1)?.join('\n'), /hairpin true, isolated true\)[\s\S]*MODE 01\n.*ISOLATED 01/)
})

test('another ADD may have given the bridge its address meanwhile', async (t) => {
  const EEXIST = 17
  const step = bridgeAddressStep('cni0', 9 as IfIndex, prefixOf('10.1.0.1/24'))
  t.strictSame(step.settled, [EEXIST])
  t.match(stepLines(step).join('\n'), /^add address 10\.1\.0\.1\/24 to bridge cni0[\s\S]*0a010001/)
})

test('a pod’s own link is made for it, or not at all: EEXIST is a refusal', async (t) => {
  for (const mode of modes)
    for (const { what, settled } of stepsOf(attachmentOf(mode, 'dual')))
      t.notOk(settled?.includes(17), what)
})
