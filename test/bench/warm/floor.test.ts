import t from 'tap'
import { makeNetns } from '../../support/netns.ts'
import { prepareFloor } from '../node.ts'
import { compileFloorBurst } from '../toolchain.ts'
import { attachmentOf } from './cases.ts'
import { rowsOf } from './floor.ts'

const once = {
  ...{ addThreads: 3, addOne: 2, delThreadsUnseen: 4, delThreads: 30 },
  ...{ delGroupUnseen: 5, delGroup: 31 },
}

t.test('of one pod there is no group and nobody beside it', async (t) =>
  t.match(
    rowsOf('bridge-masq', 1, [once]).map(({ verb, variant, samples }) => [verb, variant, samples]),
    [
      ['ADD', 'bridge, masquerade, 1', [2]],
      ['DEL', 'bridge, masquerade, 1, until unseen', [4]],
      ['DEL', 'bridge, masquerade, 1, until the call returns', [30]],
    ],
  ),
)

t.test('of many each figure is a row, a sample a round', async (t) => {
  const rows = rowsOf('routed-masq', 200, [once, { ...once, delGroup: 33 }])
  t.equal(new Set(rows.map(({ variant }) => variant)).size, 6)
  t.match(rows.at(-1), { verb: 'DEL', samples: [31, 33], calls: 400, time: { p50: 32 } })
})

for (const outfit of ['bridge-masq', 'routed-masq'] as const)
  t.test(`the floor of three, ${outfit}: figures of all, and nothing is left`, async (t) => {
    const node = makeNetns('bench-floor')
    t.teardown(() => node.close())
    const attachment = attachmentOf(outfit)
    const { wiring, masquerade, families } = attachment
    prepareFloor(node, attachment)
    const done = node.exec([compileFloorBurst(t.testdir()), '3', wiring, masquerade, families])
    t.match(done, { code: 0, stderr: '' })
    const figures = JSON.parse(done.stdout) as Record<string, number>
    t.same(Object.keys(figures), Object.keys(once))
    for (const [name, ms] of Object.entries(figures)) t.ok(ms > 0, name)
    const left = node.ipJson('link').map(({ ifname }) => ifname)
    t.same(left, ['lo', ...(outfit === 'bridge-masq' ? ['cni0'] : [])])
    t.notMatch(node.exec(['nft', 'list', 'ruleset']).stdout, /elements/)
  })
