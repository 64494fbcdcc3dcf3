import fc from 'fast-check'
import { test } from 'tap'
import { policedElements, policyTable } from '../../src/datapath/policy-table.ts'
import {
  bridgeTable,
  dropChain,
  elementsOf,
  inetTable,
  ownChainOf,
  rulesOf,
  setsOf,
  tableQueries,
  tablesOf,
} from '../../src/datapath/ruleset.ts'
import { holds } from '../base/law.ts'
import { attachmentOf, families, modes } from './attachments.ts'
import { matchesGolden } from './golden.ts'
import { printElement, printRule } from './printed-rules.ts'

for (const { golden, table } of [
  { golden: 'rules-inet', table: inetTable },
  { golden: 'rules-bridge', table: bridgeTable },
  { golden: 'rules-policy', table: policyTable },
])
  test(`the rules of ${table.family} ${table.table}`, async (t) =>
    matchesGolden(t, golden, tableQueries(table).flatMap(printRule)))

test('the chain of exceptions from masquerade', async (t) => {
  const masqueradeExcept = ['10.0.0.0/8', '10.9.0.0/16', '192.168.4.0/22', 'fd00::/7']
  const chain = ownChainOf(attachmentOf('routed', 'dual', { masqueradeExcept }))
  matchesGolden(t, 'rules-masquerade', chain?.queries.flatMap(printRule) ?? [])
})

test('the elements of attachments', async (t) => {
  const lines = modes.flatMap((mode) =>
    families.flatMap((wanted) => [
      `# ${mode} ${wanted}`,
      ...elementsOf(attachmentOf(mode, wanted, { masqueradeExcept: [] })).flatMap(printElement),
    ]),
  )
  matchesGolden(t, 'elements', lines)
})

for (const { why, attachment, want } of [
  { why: 'a routed pod is guarded', attachment: attachmentOf('routed', 'v4'), want: ['inet'] },
  { why: 'a bridged pod is guarded', attachment: attachmentOf('bridge', 'v4'), want: ['bridge'] },
  {
    why: 'a bridged pod is guarded and masqueraded',
    attachment: attachmentOf('bridge', 'v4', { masqueradeExcept: [] }),
    want: ['inet', 'bridge'],
  },
  {
    why: 'a pod that may send what it likes is masqueraded alone',
    attachment: attachmentOf('bridge', 'v4', { masqueradeExcept: [], spoofCheck: false }),
    want: ['inet'],
  },
  {
    why: 'nothing is asked for',
    attachment: attachmentOf('routed', 'dual', { spoofCheck: false }),
    want: [],
  },
]) {
  test(`tables: ${why}`, async (t) => {
    t.strictSame(
      tablesOf(elementsOf(attachment)).map(({ family }) => family),
      want,
    )
    const places = new Set(elementsOf(attachment).map(({ family }) => family))
    t.strictSame([...places].sort(), [...want].sort(), 'with an element in each')
  })
}

test('addresses are closed in a table of their own (P41)', async (t) => {
  const elements = policedElements(attachmentOf('routed', 'dual'))
  t.strictSame(elements.flatMap(printElement), [
    'inet policed4 "net/c1/eth0"',
    '  0a010005',
    'inet policed6 "net/c1/eth0"',
    '  fd000001000000000000000000000005',
  ])
  t.strictSame(tablesOf(elements), [policyTable])
  for (const { set } of elements) t.ok(setsOf(policyTable).includes(set), set)
})

test('a pod without addresses is known by its MAC alone', async (t) => {
  const attachment = attachmentOf('bridge', 'v4', { ips: [], routes: [], masqueradeExcept: [] })
  t.strictSame(elementsOf(attachment).flatMap(printElement), [
    'bridge mac "net/c1/eth0"',
    '  74756c30313233343536373839610000' + '0a580a0100050000',
    'bridge guarded "net/c1/eth0" : jump own-mac',
    '  74756c30313233343536373839610000',
  ])
  t.equal(ownChainOf(attachment), undefined, 'and there is nothing to masquerade')
})

test('every element is in a set that its table has, under the attachment’s name', async (t) => {
  for (const mode of modes)
    for (const element of elementsOf(attachmentOf(mode, 'dual', { masqueradeExcept: [] }))) {
      const table = element.family === 'inet' ? inetTable : bridgeTable
      t.ok(setsOf(table).includes(element.set), element.set)
      t.equal(element.comment, 'net/c1/eth0')
    }
})

test('CHECK compares the rules that are made, in their order', async (t) => {
  const attachment = attachmentOf('routed', 'dual', { masqueradeExcept: [] })
  const made = [...tableQueries(inetTable), ...(ownChainOf(attachment)?.queries ?? [])]
    .flatMap(printRule)
    .flatMap((line) => /^rule in (.*): "(.*)"$/.exec(line)?.slice(1).join(': ') ?? [])
  t.strictSame(rulesOf(inetTable, attachment), made)
  t.notOk(rulesOf(bridgeTable, attachment).some((rule) => rule.startsWith('masquerade-')))
})

test('a chain is emptied before it is dropped, or the kernel would call it busy', async (t) => {
  const [DELRULE, DELCHAIN] = [8, 5]
  const types = dropChain({ ...inetTable, chain: 'x' }).map(({ type }) => type & 0xff)
  t.strictSame(types, [DELRULE, DELCHAIN])
})

const chainName = (masqueradeExcept: readonly string[]): string =>
  ownChainOf(attachmentOf('routed', 'dual', { masqueradeExcept }))?.name.chain ?? ''

for (const { why, left, right, isSame } of [
  {
    why: 'the order means nothing',
    left: ['1.0.0.0/8', 'fd00::/8'],
    right: ['fd00::/8', '1.0.0.0/8'],
    isSame: true,
  },
  {
    why: 'nor does one twice',
    left: ['1.0.0.0/8'],
    right: ['1.0.0.0/8', '1.0.0.0/8'],
    isSame: true,
  },
  {
    why: 'nor one that another covers',
    left: ['1.0.0.0/8'],
    right: ['1.2.0.0/16', '1.0.0.0/8'],
    isSame: true,
  },
  {
    why: 'nor the pod’s own subnet, which always is one',
    left: [],
    right: ['10.1.0.0/24'],
    isSame: true,
  },
  { why: 'nor multicast', left: [], right: ['224.0.0.0/4', 'ff02::/16'], isSame: true },
  { why: 'a length does', left: ['1.0.0.0/8'], right: ['1.0.0.0/9'], isSame: false },
  { why: 'so does one more', left: [], right: ['1.0.0.0/8'], isSame: false },
]) {
  test(`chains are shared by equal exceptions: ${why}`, async (t) =>
    t.equal(chainName(left) === chainName(right), isSame))
}

test('an exception is always one, whatever stands beside it', async (t) => {
  const one = fc.constantFrom('1.0.0.0/8', '1.2.0.0/16', '1.2.3.0/24', '0.0.0.0/0', '9.9.9.9/32')
  const lists = fc.uniqueArray(one, { minLength: 1 })
  const property = fc.property(lists, lists, (left, right) => {
    const shuffled = [...right, ...left].reverse()
    return chainName([...left, ...right]) === chainName(shuffled)
  })
  holds(t, property)
})
