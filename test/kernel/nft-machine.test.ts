import fc from 'fast-check'
import { test } from 'tap'
import { addressBytes, parseAddress } from '../../src/base/address.ts'
import { readTable } from '../../src/kernel/policy-reader.ts'
import type { ListedRule } from '../../src/wire/nft/listed-table.ts'
import { machineOf, pass } from '../../src/wire/nft/machine.ts'
import type { ConnectionFacts, PacketFacts } from '../../src/wire/nft/packet-facts.ts'
import { addresses, ports, table } from '../wire/nft/random-rules.ts'
import { type Datagram, Datagrams } from './datagram-sender.ts'
import { native, type Room, withRoom } from './sockets.ts'

const bytes = (text: string): Uint8Array => {
  const address = parseAddress(text)
  if (!address) throw new Error(`Cannot read ${text}`)
  return addressBytes(address)
}

/** What conntrack knows: of a datagram that was let through. */
type Flow = { readonly first: Datagram; isAnswered: boolean; mark: number }
class Flows {
  readonly #flows = new Map<string, Flow>()

  #find({ from, fromPort, to, toPort }: Datagram): Flow | undefined {
    return this.#flows.get(`${from} ${fromPort} ${to} ${toPort}`)
  }

  see(datagram: Datagram): { readonly flow: Flow; readonly isReply: boolean } {
    const known = this.#find(datagram)
    if (known) return { flow: known, isReply: false }
    const { from, fromPort, to, toPort } = datagram
    const asked = this.#find({ from: to, fromPort: toPort, to: from, toPort: fromPort })
    return asked
      ? { flow: asked, isReply: true }
      : { flow: { first: datagram, isAnswered: false, mark: 0 }, isReply: false }
  }

  /** Confirmed behind the last hook. */
  keep(flow: Flow): void {
    const { from, fromPort, to, toPort } = flow.first
    this.#flows.set(`${from} ${fromPort} ${to} ${toPort}`, flow)
  }
}

function factsOf(datagram: Datagram, { flow, isReply }: ReturnType<Flows['see']>): PacketFacts {
  const { first } = flow
  const connection: ConnectionFacts = {
    state: isReply || flow.isAnswered ? 'established' : 'new',
    direction: isReply ? 'reply' : 'original',
    original: {
      source: bytes(first.from),
      target: bytes(first.to),
      sourcePort: first.fromPort,
      targetPort: first.toPort,
    },
    reply: {
      source: bytes(first.to),
      target: bytes(first.from),
      sourcePort: first.toPort,
      targetPort: first.fromPort,
    },
    mark: flow.mark,
  }
  return {
    family: datagram.from.includes(':') ? 6 : 4,
    source: bytes(datagram.from),
    target: bytes(datagram.to),
    protocol: 17,
    sourcePort: datagram.fromPort,
    targetPort: datagram.toPort,
    connection,
    addressType: () => 2,
    input: '',
    output: 'lo',
    mark: 0,
  }
}

/** Packets by handle, of every rule that counts. */
const counted = ({ rules }: { readonly rules: readonly ListedRule[] }) =>
  new Map(
    rules.flatMap(({ handle, expressions }) => {
      const counter = expressions.find((one) => one.name === 'counter')
      return counter?.name === 'counter' ? [[handle, counter.packets] as const] : []
    }),
  )

const read = ({ fd }: Room) => {
  const found = readTable(native, { family: 'inet', table: 't' }, fd)
  if (!found) throw new Error('Cannot find the table that was just made')
  return found
}

const datagram: fc.Arbitrary<Datagram> = fc
  .constantFrom(4 as const, 6 as const)
  .chain((family) =>
    fc.record({
      from: fc.constantFrom(...addresses[family]),
      fromPort: fc.constantFrom(...ports),
      to: fc.constantFrom(...addresses[family]),
      toPort: fc.constantFrom(...ports),
    }),
  )
  .filter(({ from, to }) => from !== to)

test(
  'machine: random tables count and drop what the kernel counts and drops',
  { timeout: 300_000 },
  (t) =>
    withRoom(async (room) => {
      const all = [...addresses[4], ...addresses[6]]
      for (const one of all) {
        room.netns.ip('addr', 'add', `${one}/${one.includes(':') ? 128 : 32}`, 'dev', 'lo')
      }
      // conntrack is there as long as somebody asks for it
      loadRules(
        room,
        'table inet keep { chain c { type filter hook output priority 0; ct state new; }; }',
      )
      const flows = new Flows()
      const datagrams = await Datagrams.open(room.netns, all, ports)
      let compared = 0
      try {
        await fc.assert(
          fc.asyncProperty(
            table,
            fc.array(datagram, { minLength: 8, maxLength: 8 }),
            async (text, sent) => {
              loadRules(room, `table inet t\ndelete table inet t\n${text}`)
              for (const one of sent) {
                const before = read(room)
                const seen = flows.see(one)
                const passage = pass(machineOf(before), 'postrouting', factsOf(one, seen))
                const isSent = await datagrams.send(one)
                const after = counted(read(room))
                const matched = before.rules.filter((rule) => passage.trace.includes(rule))
                const expected = [...counted({ rules: matched }).keys()]
                const found = [...counted(before)]
                  .filter(([handle, packets]) => after.get(handle) !== packets)
                  .map(([handle]) => handle)
                // Of a connection that stands, a packet changes what it changes, dropped or not.
                seen.flow.mark = passage.connectionMark
                seen.flow.isAnswered ||= seen.isReply
                if (isSent) flows.keep(seen.flow)
                compared++
                const story = `${JSON.stringify(one)} ${JSON.stringify(seen)}\n${text}`
                if (isSent !== (passage.verdict === 'accept'))
                  throw new Error(`${passage.verdict}: ${story}`)
                if (expected.join() !== found.join())
                  throw new Error(`counted ${found}, not ${expected}: ${story}`)
              }
            },
          ),
          { numRuns: 60 },
        )
      } finally {
        datagrams.close()
      }
      t.ok(compared >= 480, `${compared} packets compared`)
    }),
)

function loadRules({ netns }: Room, text: string): void {
  const done = netns.exec(['nft', '-f', '-'], { input: text })
  if (done.code !== 0) throw new Error(`Cannot load: ${done.stderr}\n${text}`)
}
