import { test } from 'tap'
import type { Attachment } from '../../src/datapath/attachment.ts'
import { type Holding, holdingOf } from '../../src/datapath/holding.ts'
import { policedElements, policyTable } from '../../src/datapath/policy-table.ts'
import { inetTable, tables } from '../../src/datapath/ruleset.ts'
import { healTables } from '../../src/kernel/filter-healing.ts'
import { FilterSocket } from '../../src/kernel/filter-socket.ts'
import { PolicySocket } from '../../src/kernel/policy-socket.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { Lodger } from './node.ts'
import { podNumber } from './pods.ts'
import { program } from './programs.ts'
import { runNft } from './sockets.ts'

const policedHolding = (attachment: Attachment): Holding => {
  const holding = holdingOf(attachment)
  return { ...holding, elements: [...holding.elements, ...policedElements(attachment)] }
}

type Room = {
  readonly netns: Netns
  readonly filter: FilterSocket
  readonly policies: PolicySocket
}

function withNode(use: (room: Room) => void): void {
  const netns = makeNetns('policed')
  const lodger = new Lodger(netns)
  try {
    const { native } = lodger
    use({ netns, filter: new FilterSocket(native), policies: new PolicySocket(native) })
  } finally {
    lodger.close()
    netns.close()
  }
}

const [first, second] = [podNumber(1), podNumber(2)]
const policed = (filter: FilterSocket): readonly string[] =>
  ['policed4', 'policed6']
    .flatMap((set) => filter.elementsIn({ ...policyTable, set }))
    .map(({ comment }) => comment ?? '')
    .sort()
const known = program({ identities: { '10.1.0.1': 256 }, subjects: { '10.1.0.1': {} } })

test('without policies in its configuration an ADD makes no table for them', async (t) =>
  withNode(({ netns, filter }) => {
    filter.attach(holdingOf(first), (fill) => fill([holdingOf(first)]))
    t.notMatch(runNft(netns, 'list', 'tables'), 'tulle-policy')
  }))

test('an ADD makes the table with all that the node’s pods have in it (P41)', async (t) =>
  withNode(({ filter }) => {
    const all = [first, second].map(policedHolding)
    filter.attach(policedHolding(first), (fill) => fill(all))
    t.strictSame(policed(filter), ['net/c1/eth0', 'net/c1/eth0', 'net/c2/eth0', 'net/c2/eth0'])
    t.strictSame(filter.missingElements(policedHolding(first)), [])
  }))

test('what the agent has filled an ADD leaves as it is, and so does healing', async (t) =>
  withNode(({ netns, filter, policies }) => {
    policies.load(known, policedElements(first))
    const fail = (): never => {
      throw new Error('Cannot happen: the table was there')
    }
    filter.attach(holdingOf(first), (fill) => fill([policedHolding(first)]))
    filter.attach(policedHolding(second), fail)
    t.ok(policies.isAsCommitted(known, [first, second].flatMap(policedElements)))
    runNft(netns, 'flush', 'chain', 'inet', 'tulle-policy', 'closed-egress')
    const holdings = [first, second].map(policedHolding)
    t.strictSame(
      healTables(filter, holdings, () => true),
      [],
    )
    t.notOk(policies.isAsCommitted(known, []), 'the agent sees it, and mends it')
    runNft(netns, 'delete', 'table', 'inet', 'tulle')
    t.equal(healTables(filter, holdings, () => true).length, 1, 'the other is made anew')
    t.ok(filter.rules(inetTable).length > 0)
  }))

test('the table goes with the last pod, whatever the agent has left in it', async (t) =>
  withNode(({ netns, filter, policies }) => {
    const holding = policedHolding(first)
    filter.attach(holding, (fill) => fill([holding]))
    policies.load(known, policedElements(first))
    filter.deleteElements(holdingOf(first).elements)
    filter.dropEmptyTables(tables)
    t.match(runNft(netns, 'list', 'tables'), 'tulle-policy', 'a pod is still closed by it')
    filter.detach(holding)
    t.strictSame(policed(filter), [])
    filter.dropEmptyTables(tables)
    t.equal(runNft(netns, 'list', 'tables'), '')
  }))
