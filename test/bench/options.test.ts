import t from 'tap'
import { planCases } from './cases.ts'
import { upstreamVersion } from './debian.ts'
import { parseOptions } from './options.ts'

t.test('no options: everything, in full, as tables', async (t) =>
  t.same(parseOptions([]), { options: { effort: 'full', output: 'table', only: '' } }),
)

t.test('all options', async (t) =>
  t.same(parseOptions(['--quick', '--json', '--only', 'bridge']), {
    options: { effort: 'quick', output: 'json', only: 'bridge' },
  }),
)

t.test('an unknown option is refused with the usage', async (t) =>
  t.match(parseOptions(['--fast']), { code: 2, say: /--fast.*usage:/s }),
)

t.test(
  'the cases are wiring × families × masquerade, and start, chains, ports, leases, bursts, warm',
  async (t) => {
    const ids = planCases('full', '').map(({ id }) => id)
    t.same(ids, [
      'start',
      ...['routed', 'routed-masq', 'routed-dual', 'routed-dual-masq'],
      ...['bridge', 'bridge-masq', 'bridge-dual', 'bridge-dual-masq'],
      ...['chain-nft', 'chain-dual-nft', 'chain-legacy'],
      ...[
        'ports',
        'leases',
        'burst-routed',
        'burst-bridge-masq',
        'warm',
        'warm-burst',
        'warm-floor',
      ],
    ])
  },
)

t.test('--only keeps cases by a part of their name', async (t) =>
  t.same(
    planCases('quick', 'masq').map(({ id }) => id),
    ['routed-masq', 'routed-dual-masq', 'bridge-masq', 'bridge-dual-masq', 'burst-bridge-masq'],
  ),
)

for (const [version, want] of [
  ['1.1.1+ds1-3+b5\n', '1.1.1'],
  ['1.9.1-2', '1.9.1'],
  ['2:1.0.0', '1.0.0'],
] as const)
  t.test(`upstreamVersion: ${JSON.stringify(version)} is ${want}`, async (t) =>
    t.equal(upstreamVersion(version), want),
  )
