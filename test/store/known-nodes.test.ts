import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'tap'
import type { Address, Family } from '../../src/base/address.ts'
import type { ClusterNode } from '../../src/cluster/node.ts'
import { knownNodesPath, readKnownNodes, writeKnownNodes } from '../../src/store/known-nodes.ts'

function withFolder<T>(use: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'tt-known-'))
  try {
    return use(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const addressOf = (family: Family): fc.Arbitrary<Address> =>
  fc.bigInt({ min: 0n, max: (1n << (family === 4 ? 32n : 128n)) - 1n }).map((value) => ({
    family,
    value,
  }))
const address = fc.oneof(addressOf(4), addressOf(6))
const node: fc.Arbitrary<ClusterNode> = fc.record(
  {
    name: fc.string(),
    addresses: fc.array(address, { maxLength: 3 }),
    podCIDRs: fc.array(fc.record({ address, bits: fc.integer({ min: 0, max: 32 }) })),
    mode: fc.constantFrom('auto', 'vxlan', 'direct'),
    flannel: fc.array(
      fc.record({
        family: fc.constantFrom(4, 6),
        address,
        mac: fc.string(),
        vni: fc.integer({ min: 0, max: 2 ** 24 - 1 }),
      }),
    ),
  },
  { requiredKeys: ['name', 'addresses', 'podCIDRs'], noNullPrototype: true },
)

test('what was written is read again', async (t) =>
  withFolder((folder) => {
    fc.assert(
      fc.property(fc.string(), fc.array(node, { maxLength: 5 }), (name, nodes) => {
        writeKnownNodes(folder, { node: name, nodes })
        t.same(readKnownNodes(folder), { kind: 'known', known: { node: name, nodes } })
      }),
      { numRuns: 30 },
    )
    t.same(readdirSync(folder), ['known-nodes.json'], 'and nothing lies beside it')
  }))

test('a folder without it, and no folder at all', async (t) =>
  withFolder((folder) => {
    t.same(readKnownNodes(folder), { kind: 'absent' })
    t.same(readKnownNodes(join(folder, 'x')), { kind: 'absent' })
    writeKnownNodes(join(folder, 'x', 'y'), { node: 'a', nodes: [] })
    t.match(readKnownNodes(join(folder, 'x', 'y')), { kind: 'known' })
  }))

test('a file that was cut anywhere is damaged, never half of the nodes', async (t) =>
  withFolder((folder) => {
    const nodes = [1n, 2n, 3n].map((value) => ({
      name: `n${value}`,
      addresses: [{ family: 4, value } as const],
      podCIDRs: [],
    }))
    writeKnownNodes(folder, { node: 'n1', nodes })
    const whole = readFileSync(knownNodesPath(folder), 'utf8').trimEnd()
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(knownNodesPath(folder), whole.slice(0, length))
      const { kind } = readKnownNodes(folder)
      if (kind !== 'damaged') t.fail(`${length} bytes: ${kind}`)
    }
    t.pass()
  }))

for (const { why, text } of [
  { why: 'of another version', text: '{"version":2,"node":"a","nodes":[]}' },
  { why: 'a list', text: '[]' },
  { why: 'a node without a name', text: '{"version":1,"node":"a","nodes":[{}]}' },
  {
    why: 'an address that is none',
    text: '{"version":1,"node":"a","nodes":[{"name":"a","addresses":["x"],"podCIDRs":[]}]}',
  },
  {
    why: 'a mode that is none',
    text: '{"version":1,"node":"a","nodes":[{"name":"a","addresses":[],"podCIDRs":[],"mode":"x"}]}',
  },
])
  test(`what is not as it was written is damaged: ${why}`, async (t) =>
    withFolder((folder) => {
      writeFileSync(knownNodesPath(folder), text)
      t.match(readKnownNodes(folder), { kind: 'damaged', path: knownNodesPath(folder) })
    }))
