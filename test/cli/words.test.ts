import t from 'tap'
import { tool } from './tool.ts'

const commands = [
  ...['install', 'uninstall', 'status', 'routes', 'doctor'],
  ...['ipam list', 'ipam export', 'ipam gc', 'conformance'],
]

t.test('the help names every command, and each has its own', async (t) => {
  const { code, stdout, stderr } = tool(['--help'])
  t.same([code, stderr], [0, ''])
  for (const name of commands) {
    t.match(stdout, new RegExp(`^  ${name} `, 'm'))
    const own = tool([...name.split(' '), '--help'])
    t.equal(own.code, 0, name)
    t.match(own.stdout, `Usage: tulle ${name} [options]`)
    t.match(own.stdout, /^ {2}--json /m)
    const wide = `${stdout}${own.stdout}`.split('\n').filter((line) => line.length > 100)
    t.same(wide, [], `${name}: lines that do not fit`)
  }
})

for (const { words, says } of [
  { words: ['instal'], says: 'instal is no command: there is install, ' },
  { words: ['ipam'], says: 'there is "tulle ipam list" and "tulle ipam export"' },
  { words: ['ipam', 'lost'], says: 'ipam lost is no command' },
  { words: ['install', '--direction', 'x'], says: "tulle install: Unknown option '--direction'" },
  { words: ['install', 'somewhere'], says: "Unexpected argument 'somewhere'" },
  { words: ['install', '--dir'], says: "Option '--dir <value>' argument missing" },
  { words: ['install', '--names', 'bridge,brigde'], says: 'brigde: Tulle does not answer to that' },
  { words: ['ipam', 'export'], says: '--network NAME is missing' },
  { words: ['conformance'], says: '--plugin PATH is missing' },
  { words: ['conformance', '--plugin', '/etc/passwd'], says: '/etc/passwd is no executable file' },
  { words: ['conformance', '--plugin', '/bin/true', '--only', 'ad'], says: 'ad is no case' },
  { words: ['conformance', '--plugin', '/bin/true'], says: 'give one with --conf FILE' },
]) {
  t.test(`tulle ${words.join(' ')}: asked wrongly, exit code 2`, async (t) => {
    const { code, stdout, stderr } = tool(words)
    t.same([code, stdout], [2, ''])
    t.ok(stderr.includes(says), stderr)
    t.match(stderr, /^[^\n]+; see "tulle --help"\n$/, 'one line')
  })
}

t.test('what the world refuses is one line and exit code 1', async (t) => {
  const { code, stdout, stderr } = tool(['ipam', 'list', '--data-dir', '/nowhere'])
  t.same([code, stdout], [1, ''])
  t.match(stderr, /^tulle: \/nowhere\/tulle\.db is not there: [^\n]+\n$/)
  const refused = tool(['install', '--dir', '/proc/tulle'])
  t.equal(refused.code, 1)
  t.match(refused.stderr, /^tulle: ENOENT[^\n]+\n$/)
})
