// Many launchers at once, and several calls of one container: every call ends as it would alone.
import t from 'tap'
import {
  addedLater,
  addressesOf,
  attach,
  attachLater,
  type Extra,
  modes,
  netconf,
} from '../support/attachment.ts'
import { leases, records } from '../support/leases.ts'
import type { Ran } from '../support/netns.ts'
import { policedConf } from '../support/policed.ts'
import { StandInAgent } from '../support/policy-stand-in.ts'
import { watchResidue } from '../support/residue.ts'
import { until } from '../support/until.ts'
import { openFiles, quietFiles, withServed } from './served.ts'

t.setTimeout(300_000)

const refused = (ran: readonly Ran[]): readonly string[] =>
  ran.filter(({ code }) => code !== 0).map(({ stdout, stderr }) => stdout + stderr)

for (const mode of modes)
  t.test(`${mode}: 200 ADDs at once, then as many DELs`, (t) =>
    withServed(async ({ host, server, file }) => {
      const conf = netconf(host, { mode, families: 'dual', keys: { ipMasq: true } })
      const plugin = file.path
      const pods = Array.from({ length: 200 }, () => host.pod())
      const left = watchResidue(host, [])
      const all = (verb: 'ADD' | 'DEL'): Promise<readonly Ran[]> =>
        Promise.all(pods.map((pod) => attachLater(verb, pod, conf, { plugin })))
      const start = performance.now()
      const ran = await all('ADD')
      t.comment(`ADD: ${Math.round(performance.now() - start)} ms`)
      t.same(refused(ran), [], 'every ADD succeeds')
      const addresses = ran.flatMap(({ stdout }) => addressesOf(JSON.parse(stdout)))
      t.equal(new Set(addresses).size, 400, 'no address twice')
      t.same(refused(await all('DEL')), [], 'every DEL succeeds')
      t.same(left(), [], 'nothing is left')
      t.same(records(host.dataDir), [])
      t.same(file.repeated(), [], 'what was begun by the server it has ended')
      t.comment(`${file.started().length} of 400 were Node's: not taken up within 50 ms`)
      const before = await quietFiles(server)
      t.same(refused(await all('ADD')), [])
      t.same(refused(await all('DEL')), [])
      t.ok(
        (await quietFiles(server)) <= before + 100,
        `${openFiles(server)} open, ${before} before`,
      )
    }),
  )

t.test('DEL while ADD of the same container waits for verdicts', (t) =>
  withServed(async ({ host, file }) => {
    const plugin = file.path
    let hasHeard = false
    const agent = new StandInAgent(host, () => {
      hasHeard = true
    })
    try {
      const conf = policedConf(host, 'routed', {}, 2)
      const [pod, other] = [host.pod(), host.pod()]
      const order: string[] = []
      const told = (name: string) => (ran: Ran) => {
        order.push(name)
        return ran
      }
      const adding = attachLater('ADD', pod, conf, { plugin }).then(told('ADD'))
      await until('it is closed', () => hasHeard, { limitMs: 20_000, pauseMs: 5 })
      const deleting = attachLater('DEL', pod, conf, { plugin }).then(told('DEL'))
      const open = netconf(host, { mode: 'routed', families: 'dual' })
      const others = addedLater(other, open, { plugin }).then(() => order.push('other'))
      const [added, gone] = await Promise.all([adding, deleting, others])
      t.same(order, ['other', 'ADD', 'DEL'], 'others go on, DEL waits for its ADD')
      t.equal(added.code, 0, added.stdout)
      t.match(added.stderr, 'the agent has not told within 2 s')
      t.same([gone.code, gone.stdout], [0, ''])
      t.equal(attach('DEL', other, open, { plugin }).code, 0)
      t.same(records(host.dataDir), [], 'nothing is left')
      t.same(leases(host.dataDir), [])
      t.same(pod.netns.ipJson('link', 'show').length, 1)
    } finally {
      agent.close()
    }
  }),
)

t.test('ADD, DEL and ADD of the same container at once', (t) =>
  withServed(async ({ host, file }) => {
    const extra: Extra = { plugin: file.path }
    const conf = netconf(host, { mode: 'bridge', families: 'dual' })
    const pod = host.pod()
    const left = watchResidue(host, [pod.netns])
    for (let round = 0; round < 20; round += 1) {
      const verbs = ['ADD', 'DEL', 'ADD', 'ADD', 'DEL', 'ADD'] as const
      const ran = await Promise.all(verbs.map((verb) => attachLater(verb, pod, conf, extra)))
      for (const [at, { code, stdout }] of ran.entries()) {
        // 100: DEL was Node's, so it did not wait, and took away what ADD was making.
        const isRefused = code === 1 && [100, 101].includes(JSON.parse(stdout).code)
        const isFit = code === 0 || (verbs[at] === 'ADD' && isRefused)
        if (!isFit) t.fail(`round ${round}: ${verbs[at]}: ${stdout}`)
      }
      const isThere = records(host.dataDir).some((line) => line.startsWith('attachment '))
      t.equal(leases(host.dataDir).length, isThere ? 2 : 0, `round ${round}: leased once or not`)
      t.equal(pod.netns.ipJson('link', 'show').length, isThere ? 2 : 1, 'and the link with it')
    }
    t.comment(`${file.started().length} of 120 were Node's`)
    t.equal((await attachLater('DEL', pod, conf, extra)).code, 0)
    t.same(left(), [], 'nothing is left')
    t.same(file.repeated(), [])
  }),
)
