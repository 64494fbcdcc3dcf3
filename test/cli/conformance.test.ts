import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { executable } from '../support/cni.ts'
import { withHost } from '../support/host.ts'
import { type Ran, run } from '../support/netns.ts'
import { referenceDirectory } from '../support/reference.ts'
import { watchResidue } from '../support/residue.ts'
import { type Defect, writePlugin } from './broken-plugin.ts'
import { failsOf, parsed } from './examined.ts'
import { tool, withFolder } from './tool.ts'

t.setTimeout(280_000)

/** Test cases and failures of a JUnit file, as another XML parser reads it. */
function readJunit(file: string): readonly string[] {
  const script =
    'import sys, xml.etree.ElementTree as e\n' +
    'for c in e.parse(sys.argv[1]).getroot().iter("testcase"):\n' +
    ' kinds = [k.tag for k in c]\n' +
    ' print(c.get("name").split(":")[0], kinds[0] if kinds else "pass")\n'
  const ran = run(['/usr/bin/python3', '-c', script, file])
  if (ran.code !== 0) throw new Error(ran.stderr)
  return ran.stdout.trim().split('\n')
}

t.test('our executable passes every case, and the node it runs on is untouched', (t) =>
  withHost((host) => {
    const left = watchResidue(host, [])
    const junit = join(host.directory, 'junit.xml')
    const words = ['conformance', '--plugin', executable, '--json', '--junit', junit]
    const ran = tool(words, host.netns)
    const examined = parsed(ran)
    t.same(failsOf(examined), [])
    t.equal(ran.code, 0)
    t.ok(examined.passed > 140, `${examined.passed} passed`)
    const versions = new Set(examined.outcomes.map(({ version }) => version))
    t.equal(versions.size, 7)
    t.equal(readJunit(junit).length, examined.outcomes.length)
    t.same(left(), [])
    t.notMatch(readFileSync('/proc/mounts', 'utf8'), /^tulle /m, 'no mount is left')
    t.notMatch(run(['ls', '/run/netns']).stdout, /^conformance-/m, 'no namespace is left')
  }),
)

/** What is examined of the shell plugin, which can't do more. */
const only = 'version,add,del,del-twice,del-netns-gone'

const examineShell = (folder: string, ...words: string[]): Ran => {
  const conf = join(folder, 'conf.json')
  writeFileSync(conf, '{"plugins": [{"type": "shell"}]}')
  const asked = ['--plugin', join(folder, 'shell'), '--conf', conf, '--only', only]
  return tool(['conformance', ...asked, ...words])
}

t.test('a plugin of few lines that is right passes', async (t) =>
  withFolder((folder) => {
    writePlugin(folder)
    const ran = examineShell(folder, '--json')
    t.same(failsOf(parsed(ran)), [])
    t.equal(ran.code, 0)
    t.equal(parsed(ran).passed, 10)
  }),
)

const defects: readonly (Defect & Readonly<{ finds: RegExp }>)[] = [
  {
    name: 'prints a result on DEL',
    from: 'DEL) ',
    to: "DEL) echo '{}'; ",
    finds: /^del 1\.0\.0: DEL: success, but it printed "\{\}"/m,
  },
  {
    name: 'answers in another version',
    from: '"cniVersion":"\'"$version"\'"',
    to: '"cniVersion":"1.0.0"',
    finds: /^add 0\.4\.0: cniVersion is "1\.0\.0", not "0\.4\.0"$/m,
  },
  {
    name: 'leaves a link on the node',
    from: 'DEL) ',
    to: 'DEL) ip link add left$host type bridge 2>/dev/null; ',
    finds: /^del 0\.4\.0: after DEL link leftshell\d+ \(bridge\) is left$/m,
  },
  {
    name: 'leaves a rule',
    from: 'DEL) ',
    to: 'DEL) nft add table inet odd$host; ',
    finds: /^del 1\.0\.0: after DEL rule table inet oddshell\d+ is left$/m,
  },
  {
    name: 'has a version in ips where there is none',
    from: `if [ "$version" = 0.4.0 ]`,
    to: 'if true',
    finds: /^add 1\.0\.0: ips\[0\]\.version is no key of 1\.0\.0$/m,
  },
  {
    name: 'tells of an address that is not there',
    from: '"address":"\'"$address"\'"',
    to: '"address":"10.99.1.1/16"',
    finds: /^add 1\.0\.0: eth0 does not have 10\.99\.1\.1\/16$/m,
  },
  {
    name: 'fails a second DEL',
    from: '2>/dev/null; exit 0',
    to: '2>/dev/null',
    finds: /^del-twice 1\.0\.0: second DEL: exit 1$/m,
  },
  {
    name: 'prints words where an error object belongs',
    from: 'DEL) ',
    to: 'DEL) echo sorry; exit 3; ',
    finds: /^del 1\.0\.0: DEL: exit 3, stdout "sorry"/m,
  },
]

for (const defect of defects) {
  t.test(`found: a plugin that ${defect.name}`, async (t) =>
    withFolder((folder) => {
      writePlugin(folder, defect)
      const junit = join(folder, 'junit.xml')
      const ran = examineShell(folder, '--json', '--junit', junit)
      t.equal(ran.code, 1)
      t.match(failsOf(parsed(ran)).join('\n'), defect.finds)
      const failed = readJunit(junit).filter((line) => line.endsWith(' failure'))
      t.equal(failed.length, parsed(ran).failed)
    }),
  )
}

t.test('the table says which case failed where, without colour in a pipe', async (t) =>
  withFolder((folder) => {
    writePlugin(folder, defects[1])
    const { code, stdout } = examineShell(folder)
    t.equal(code, 1)
    t.match(stdout, /^CASE +BASIS +0\.4\.0 +1\.0\.0$/m)
    t.match(stdout, /^add +specification +FAIL +pass$/m)
    t.match(stdout, /^del +specification +pass +pass$/m)
    t.match(stdout, /^FAIL add: .*\n {2}0\.4\.0:\n {4}cniVersion is "1\.0\.0", not "0\.4\.0"$/m)
    t.match(stdout, /\n9 passed, 1 failed, 0 not applicable\n$/)
    t.notMatch(stdout, '\u001b')
  }),
)

t.test('the reference bridge: the findings that were checked by hand, and no others', async (t) => {
  const plugin = `${referenceDirectory}/bridge`
  const cases = 'del-last,error-version,add-dual,add-twice,add-pool-empty,check,del,del-netns-gone'
  const ran = tool(['conformance', '--plugin', plugin, '--only', cases, '--json'])
  const failed = parsed(ran).outcomes.filter(({ verdict }) => verdict === 'fail')
  t.same([...new Set(failed.map((outcome) => outcome.case))].sort(), [
    'add-pool-empty',
    'del-last',
    'error-version',
  ])
})

t.test('a plugin without VERSION, and one that the covered folders would hide', async (t) =>
  withFolder((folder) => {
    writeFileSync(join(folder, 'conf.json'), '{}')
    const words = ['conformance', '--conf', join(folder, 'conf.json'), '--plugin']
    const mute = tool([...words, '/bin/true'])
    t.equal(mute.code, 2)
    t.match(mute.stderr, '/bin/true does not answer VERSION')
    mkdirSync('/run/tt-conformance', { recursive: true })
    const hidden = join('/run/tt-conformance', 'plugin')
    run(['cp', '/bin/true', hidden])
    const refused = tool([...words, hidden])
    run(['rm', '-r', '/run/tt-conformance'])
    t.equal(refused.code, 2)
    t.match(refused.stderr, 'once /run and /var/lib/cni are covered')
  }),
)
