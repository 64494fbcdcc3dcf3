import { realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { executable } from '../support/cni.ts'
import { referenceDirectory } from '../support/reference.ts'
import { failsOf, parsed } from './examined.ts'
import { tool, withFolder } from './tool.ts'

t.setTimeout(280_000)

const behind = ['portmap', 'bandwidth', 'tuning', 'firewall'] as const

for (const name of [...behind, 'loopback'] as const)
  t.test(`our executable passes every case under the name ${name}`, async (t) =>
    withFolder((folder) => {
      const plugin = join(folder, name)
      symlinkSync(realpathSync(executable), plugin)
      const examined = parsed(tool(['conformance', '--plugin', plugin, '--json']))
      t.same(failsOf(examined), [])
      t.ok(examined.passed > 90, `${examined.passed} passed`)
    }),
  )

t.test('reference plugins of a chain: the findings that were checked by hand', async (t) => {
  const cases = 'result-passed-on,first-in-chain,check,check-not-added,del,del-odd-previous'
  const findings = behind.map((name) => {
    const plugin = `${referenceDirectory}/${name}`
    const ran = tool(['conformance', '--plugin', plugin, '--only', cases, '--json'])
    const failed = parsed(ran).outcomes.filter(({ verdict }) => verdict === 'fail')
    return [name, ...new Set(failed.map((outcome) => outcome.case))]
  })
  t.same(findings, [
    ['portmap', 'check', 'del-odd-previous'], // it looks for an IPv6 rule that it never makes
    ['bandwidth', 'del-odd-previous'],
    ['tuning'],
    ['firewall', 'check-not-added', 'del-odd-previous'],
  ])
})

t.test('a plugin that its user calls chained gets an interface and a prevResult', async (t) =>
  withFolder((folder) => {
    const conf = join(folder, 'conf.json')
    writeFileSync(conf, '{"type": "mine", "sysctl": {"net.ipv4.conf.eth0.arp_announce": "2"}}')
    symlinkSync(`${referenceDirectory}/tuning`, join(folder, 'mine'))
    const words = ['--plugin', join(folder, 'mine'), '--conf', conf, '--only', 'add,first-in-chain']
    const examined = parsed(tool(['conformance', '--chained', '--json', ...words]))
    t.same(failsOf(examined), [])
    t.equal(examined.passed, 8)
  }),
)
