import { setTimeout as later } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import type { Program } from '../../src/policy/program.ts'
import type { Netns } from '../support/netns.ts'
import { anyProgram } from './any-program.ts'
import { type Datagram, type Receiver, receive, send } from './datagrams.ts'
import {
  addressesOf,
  nodeAddresses,
  outside,
  type PolicedNode,
  podNames,
  withPolicedNode,
} from './policed-node.ts'
import { passes } from './policy-reference.ts'

t.setTimeout(300_000)

const UDP = 17
const ports = [53, 80, 99, 443, 1000]

type Place = { readonly netns: Netns; readonly addresses: readonly string[] }

const placesOf = ({ pods, host }: PolicedNode): readonly Place[] => [
  ...podNames.map((name) => ({ netns: pods[name], addresses: Object.values(addressesOf(name)) })),
  { netns: host.netns, addresses: nodeAddresses },
  { netns: host.outside, addresses: Object.values(outside) },
]

const isV6 = (address: string): boolean => address.includes(':')

/** From everybody to everybody else, but what the node and the client outside have among them. */
const allDatagrams = (places: readonly Place[]) =>
  places.flatMap(({ netns, addresses }, at) =>
    addresses.map((source) => ({
      netns,
      datagrams: places
        .filter((_, to) => to !== at && (to < podNames.length || at < podNames.length))
        .flatMap((place) => place.addresses)
        .filter((target) => isV6(target) === isV6(source))
        .flatMap((target) =>
          ports.map((port) => ({ text: `${source},${target},${port}`, source, target, port })),
        ),
    })),
  )

/** Every datagram is received or counted: then none is under way. */
async function settled(
  node: PolicedNode,
  { program, receivers, sent }: { program: Program; receivers: readonly Receiver[]; sent: number },
): Promise<ReadonlySet<string>> {
  const heard = new Set<string>()
  const isDropped = ({ action }: { action: string }): boolean => action !== 'audit'
  for (let look = 0; look < 2_000; look++) {
    for (const receiver of receivers) for (const text of receiver.take()) heard.add(text)
    if (heard.size + node.count(program, isDropped) >= sent) return heard
    await later(2)
  }
  throw new Error(`${sent} sent, ${heard.size} received, ${node.count(program, isDropped)} dropped`)
}

const passing = (program: Program, { source, target, port }: Datagram): boolean =>
  passes(program, { source, target, protocol: UDP, port, node: nodeAddresses })

t.test('random programs, every way to be meant: packets go as the program says', (t) =>
  withPolicedNode(async (node) => {
    const places = placesOf(node)
    const receivers = await Promise.all(places.map(({ netns }) => receive(netns, ports)))
    try {
      const all = allDatagrams(places)
      const sent = all.flatMap(({ datagrams }) => datagrams)
      // both families of a pod are compiled, or none: one alone would be closed
      const details = await fc.check(
        fc.asyncProperty(anyProgram, async (drawn) => {
          const closedNobody = new Map(
            podNames.flatMap((name) =>
              Object.values(addressesOf(name)).map((one) => [one, drawn.subjects.get(one) ?? {}]),
            ),
          )
          const program = { ...drawn, subjects: closedNobody }
          node.load(program)
          for (const { netns, datagrams } of all) send(netns, datagrams)
          const heard = await settled(node, { program, receivers, sent: sent.length })
          const wrong = sent.filter((one) => heard.has(one.text) !== passing(program, one))
          if (wrong.length > 0) throw new Error(wrong.map(({ text }) => text).join(' '))
        }),
        { numRuns: 25, endOnFailure: true },
      )
      t.equal(details.failed ? fc.defaultReportMessage(details) : 'holds', 'holds')
    } finally {
      for (const receiver of receivers) receiver.close()
    }
  }),
)
