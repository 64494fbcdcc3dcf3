import { setImmediate } from 'node:timers/promises'
import { test } from 'tap'
import type { RouteMode } from '../../src/cluster/node.ts'
import { defaultOverlay } from '../../src/overlay/options.ts'
import { node } from '../overlay/values.ts'
import { type Ran, runLater } from '../support/netns.ts'
import { settleAll, withUnderlay } from '../support/underlay.ts'

/** A thousand packets a second, each waited for. */
const flood = (netns: string, to: string): Promise<Ran> =>
  runLater([
    'nsenter',
    `--net=/run/netns/${netns}`,
    'ping',
    '-n',
    '-q',
    '-i',
    '0.001',
    '-c',
    '2000',
    '-W',
    '3',
    to,
  ])

test('pods that speak lose no packet while their nodes change between direct and tunnel', (t) =>
  withUnderlay(async (underlay) => {
    const a = underlay.add(node('a', '10.0.0.1 fd00:0::1', '10.1.1.0/24 fd01:1::/64'))
    const b = underlay.add(node('b', '10.0.0.2 fd00:0::2', '10.1.2.0/24 fd01:2::/64'))
    const nodes = [a, b]
    settleAll(nodes)
    t.ok(a.reaches(b, 4) && a.reaches(b, 6))
    let isOver = false
    const floods = Promise.all(
      ([4, 6] as const).map((family) =>
        flood(a.pod.path.split('/').at(-1) ?? '', b.podAddress(family)),
      ),
    ).finally(() => {
      isOver = true
    })
    const ways = { vxlan: 0, direct: 0 } satisfies Partial<Record<RouteMode, number>>
    const refusals: string[] = []
    while (!isOver) {
      const mode = ways.vxlan > ways.direct ? 'direct' : 'vxlan'
      for (const one of nodes) {
        refusals.push(...one.settle(nodes, { ...defaultOverlay, mode }).refusals)
        await setImmediate()
      }
      ways[mode] += 1
    }
    for (const { stdout } of await floods)
      t.match(stdout, /2000 packets transmitted, 2000 received/)
    t.strictSame(refusals, [])
    t.ok(ways.direct > 3, `${ways.direct} changes there and back`)
  }))
