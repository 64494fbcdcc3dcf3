import { fileURLToPath } from 'node:url'
import { type Test, test } from 'tap'
import { holdingOf } from '../../src/datapath/holding.ts'
import { FilterSocket } from '../../src/kernel/filter-socket.ts'
import { makeNetns, type Netns, type Ran, runLater } from '../support/netns.ts'
import { Lodger } from './node.ts'
import { podNumber } from './pods.ts'

const attacher = fileURLToPath(new URL('attacher.ts', import.meta.url))
const [processes, pods] = [4, 12]

async function withNetns(use: (netns: Netns) => Promise<void>): Promise<void> {
  const netns = makeNetns('filter')
  try {
    await use(netns)
  } finally {
    netns.close()
  }
}

/** Several processes at once, each with pods of its own. */
const runAll = (netns: Netns, what: 'attach' | 'churn'): Promise<readonly Ran[]> =>
  Promise.all(
    Array.from({ length: processes }, (_, at) =>
      runLater([
        ...['nsenter', `--net=${netns.path}`, process.execPath],
        ...['--disable-warning=ExperimentalWarning', attacher],
        ...[what, String(at * pods + 1), String(pods)],
      ]),
    ),
  )

const noFailures = (t: Test, ended: readonly Ran[]): void =>
  void t.strictSame(
    ended.map(({ code, stderr }) => [code, stderr]),
    ended.map(() => [0, '']),
    `no process fails; tables were made by ${ended.map(({ stdout }) => stdout.trim()).join(' ')}`,
  )

test(`${processes} processes attach ${pods} pods each to a node without tables`, async (t) =>
  withNetns(async (netns) => {
    noFailures(t, await runAll(netns, 'attach'))
    const lodger = new Lodger(netns)
    const filter = new FilterSocket(lodger.native)
    const all = Array.from({ length: processes * pods }, (_, at) =>
      podNumber(at + 1, at % 2 === 0 ? 'routed' : 'bridge'),
    )
    t.strictSame(
      all.flatMap((pod) => filter.missingElements(holdingOf(pod))),
      [],
      'every pod has its elements',
    )
    for (const pod of all) filter.detach(holdingOf(pod))
    filter.dropEmptyTables()
    t.equal(netns.exec(['nft', 'list', 'ruleset']).stdout, '')
    lodger.close()
  }))

test(`${processes} processes attach, detach and clear up beside one another`, async (t) =>
  withNetns(async (netns) => {
    noFailures(t, await runAll(netns, 'churn'))
    const lodger = new Lodger(netns)
    new FilterSocket(lodger.native).dropEmptyTables()
    lodger.close()
    t.equal(netns.exec(['nft', 'list', 'ruleset']).stdout, '', 'nothing is left that is not empty')
  }))
