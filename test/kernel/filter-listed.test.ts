import { test } from 'tap'
import { holdingOf } from '../../src/datapath/holding.ts'
import { FilterSocket } from '../../src/kernel/filter-socket.ts'
import { matchesGolden } from '../datapath/golden.ts'
import { makeNetns } from '../support/netns.ts'
import { Lodger } from './node.ts'
import { podNumber, storeOf } from './pods.ts'

const columnsMax = 96

/** Breaks long lines at blanks, what follows is indented by one more. */
function wrapped(line: string): readonly string[] {
  if (line.length <= columnsMax) return [line]
  const cut = line.lastIndexOf(' ', columnsMax)
  const indent = /^\s*/.exec(line)?.[0] ?? ''
  if (cut <= indent.length) return [line]
  return [line.slice(0, cut), ...wrapped(`${indent}  ${line.slice(cut + 1)}`)]
}

// nft's own reading of what we sent: the words that a person on the node sees.
for (const mode of ['routed', 'bridge'] as const)
  test(`what \`nft list ruleset\` says of a ${mode} pod`, async (t) => {
    const netns = makeNetns('filter')
    const lodger = new Lodger(netns)
    try {
      const pod = podNumber(5, mode, { masqueradeExcept: ['10.0.0.0/8', 'fd00:2::/48'] })
      new FilterSocket(lodger.native).attach(holdingOf(pod), storeOf(pod))
      const text = netns.exec(['nft', 'list', 'ruleset']).stdout
      const lines = text.trimEnd().replaceAll('\t', '  ').split('\n').flatMap(wrapped)
      matchesGolden(t, `nft-list-${mode}`, lines)
    } finally {
      lodger.close()
      netns.close()
    }
  })
