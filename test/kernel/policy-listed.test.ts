import { test } from 'tap'
import { policyTable } from '../../src/datapath/policy-table.ts'
import { tableQueries } from '../../src/datapath/ruleset.ts'
import { PolicySocket } from '../../src/kernel/policy-socket.ts'
import { matchesGolden } from '../datapath/golden.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { Lodger } from './node.ts'
import { fullProgram } from './programs.ts'
import { withRoom } from './sockets.ts'

const command = ['nft', 'list', 'table', 'inet', 'tulle-policy']

/**
 * What a person on the node sees. Elements of hash sets come in any order; generations are drawn.
 */
function listed(netns: Netns): readonly string[] {
  const { code, stdout, stderr } = netns.exec(command)
  if (code !== 0) throw new Error(stderr)
  const version = netns.exec(['nft', '--version']).stdout.trim()
  const sorted = stdout.replace(/elements = \{([^}]*)\}/g, (_, elements: string) => {
    const each = elements.split(',').map((one) => one.trim())
    return ['elements = {', ...each.sort().map((one) => `\t\t\t${one}`), '\t\t}'].join('\n')
  })
  const lines = sorted.trimEnd().replaceAll('\t', '  ').split('\n')
  return [`# ${command.join(' ')} (${version})`, ...lines]
}

test('the skeleton of policies, as nft lists it', (t) =>
  withRoom((room) => {
    t.strictSame(room.commit(...tableQueries(policyTable)), [])
    matchesGolden(t, 'nft-list-policy-skeleton', listed(room.netns))
  }))

test('every way to be meant and to ask for ports, as nft lists it', async (t) => {
  const netns = makeNetns('policy')
  const lodger = new Lodger(netns)
  try {
    const socket = new PolicySocket(lodger.native, () => 0.5)
    socket.load(fullProgram, [])
    matchesGolden(t, 'nft-list-policy', listed(netns))
    t.ok(socket.isAsCommitted(fullProgram, []))
  } finally {
    lodger.close()
    netns.close()
  }
})
