import { spawn } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import t from 'tap'
import { readLauncher } from '../../src/store/launcher.ts'
import { executable } from '../support/cni.ts'
import { run } from '../support/netns.ts'
import { tool, toolJson, withFolder } from './tool.ts'

// The launcher in the place of the executable, and the way back.

type Report = Readonly<{ changed: readonly Readonly<{ path: string; did: string }>[] }>

const install = (dir: string, ...words: string[]): readonly string[] =>
  deeds(dir, ['install', ...words])
const deeds = (dir: string, [command = '', ...words]: readonly string[]): readonly string[] =>
  toolJson<Report>([command, '--dir', dir, ...words]).changed.map(
    ({ path, did }) => `${path.slice(dir.length + 1)}: ${did}`,
  )
const uninstall = (dir: string): readonly string[] => deeds(dir, ['uninstall'])
const isExecutable = (path: string): boolean => readFileSync(path).equals(readFileSync(executable))

t.test('fresh, again, and away', async (t) =>
  withFolder((folder) => {
    const dir = `${folder}/opt/cni/bin`
    const did = ['.tulle/tulle: copied', 'tulle: copied', 'bridge: linked to tulle']
    t.same(install(dir, '--warm', '--names', 'bridge'), did)
    t.ok(isExecutable(`${dir}/.tulle/tulle`), 'the same bytes')
    const places = { executable: `${dir}/.tulle/tulle`, socket: '/run/tulle/cni.sock' }
    t.same(readLauncher(`${dir}/tulle`), places)
    for (const name of ['tulle', '.tulle/tulle'])
      t.equal(lstatSync(`${dir}/${name}`).mode & 0o777, 0o755, name)
    t.equal(readlinkSync(`${dir}/bridge`), 'tulle')
    t.match(run([`${dir}/bridge`], { env: {} }).stderr, /^CNI bridge plugin v/, 'its name arrives')
    t.match(run([`${dir}/tulle`, '--version'], { env: {} }).stdout, /^tulle \d/, 'and words')

    t.same(install(dir, '--warm', '--names', 'bridge'), [], 'all of it is there')
    t.same(install(dir, '--warm', '--run-dir', '/run/two'), ['tulle: replaced'])
    t.equal(readLauncher(`${dir}/tulle`)?.socket, '/run/two/cni.sock')
    const removed = ['bridge: removed', 'tulle: removed', '.tulle/tulle: removed']
    t.same(uninstall(dir), removed)
    t.same(readdirSync(dir), [])
    t.same(uninstall(dir), [], 'away already')
  }),
)

t.test('from one to the other, by whichever is installed', async (t) =>
  withFolder((dir) => {
    const by = (...words: string[]): string => {
      const { code, stderr } = run([`${dir}/tulle`, 'install', '--dir', dir, ...words])
      return `${code} ${stderr}`
    }
    install(dir)
    t.same(install(dir, '--warm'), ['.tulle/tulle: copied', 'tulle: replaced'])
    t.same(install(dir), ['tulle: replaced', '.tulle/tulle: removed'])
    t.same(readdirSync(dir), ['tulle'])
    t.equal(by('--warm'), '0 ')
    t.ok(readLauncher(`${dir}/tulle`))
    t.equal(by('--warm'), '0 ', 'the launcher starts the executable, which finds itself')
    t.equal(by(), '0 ')
    t.ok(isExecutable(`${dir}/tulle`))
    t.same(readdirSync(dir), ['tulle'])
  }),
)

t.test('an older one is replaced, whichever it is', async (t) =>
  withFolder((dir) => {
    const old = 'of old: CNI tulle plugin v0.0.1'
    mkdirSync(`${dir}/.tulle`)
    for (const name of ['tulle', '.tulle/tulle']) writeFileSync(`${dir}/${name}`, old)
    t.same(install(dir, '--warm'), ['.tulle/tulle: replaced', 'tulle: replaced'])
    for (const name of ['tulle', '.tulle/tulle']) writeFileSync(`${dir}/${name}`, old)
    t.same(install(dir), ['tulle: replaced', '.tulle/tulle: removed'])
  }),
)

t.test('what was cut short is finished, and leaves nothing', async (t) =>
  withFolder((dir) => {
    install(dir, '--warm')
    rmSync(`${dir}/.tulle/tulle`)
    writeFileSync(`${dir}/.tulle/.tulle-part-1`, 'half')
    t.same(install(dir, '--warm'), ['.tulle/tulle: copied'])
    t.ok(existsSync(`${dir}/.tulle/.tulle-part-1`), 'it may be somebody’s that runs')
    rmSync(`${dir}/tulle`)
    t.same(uninstall(dir), ['.tulle/tulle: removed'])
    t.same(readdirSync(dir), [])
  }),
)

t.test('somebody else’s plugins and files stay, or are put back', async (t) =>
  withFolder((dir) => {
    const foreign = '#!/bin/sh\n'
    writeFileSync(`${dir}/tulle`, foreign)
    t.equal(tool(['install', '--warm', '--dir', dir]).code, 1)
    t.same(readdirSync(dir), ['tulle'])
    install(dir, '--warm', '--force')
    writeFileSync(`${dir}/.tulle/mine`, '')
    uninstall(dir)
    t.equal(readFileSync(`${dir}/tulle`, 'utf8'), foreign)
    t.same(readdirSync(`${dir}/.tulle`), ['mine'])
    writeFileSync(`${dir}/.tulle/tulle`, foreign)
    t.same(uninstall(dir), [])
    t.same(readdirSync(`${dir}/.tulle`).toSorted(), ['mine', 'tulle'])
  }),
)

t.test('paths that do not fit: told before anything is done', async (t) =>
  withFolder((folder) => {
    const long = `${folder}/${'x'.repeat(200)}`
    const cases: readonly (readonly [words: readonly string[], said: RegExp])[] = [
      [['--warm', '--dir', `${long}/${'y'.repeat(50)}`], /\d{3} bytes, .* holds 255/],
      [['--warm', '--dir', long, '--run-dir', `/${'r'.repeat(120)}`], /130 bytes, .* holds 107/],
      [['--warm', '--dir', 'bin'], /bin\/\.tulle\/tulle: .* starts with "\/"/],
      [['--warm', '--dir', folder, '--run-dir', 'run'], /run\/cni\.sock: .* starts with "\/"/],
      [['--dir', folder, '--run-dir', '/run/x'], /it needs --warm/],
    ]
    for (const [words, said] of cases) {
      const { code, stderr } = tool(['install', ...words])
      t.equal(code, 2, words.join(' '))
      t.match(stderr, said)
    }
    t.same(readdirSync(folder), [])
    t.notOk(existsSync('bin'))
  }),
)

t.test('a pod that starts meanwhile finds a plugin, every time', async (t) => {
  const folder = run(['mktemp', '-d']).stdout.trim()
  const dir = `${folder}/bin`
  install(dir)
  const script = `while [ ! -e ${folder}/stop ]; do
    echo '{"cniVersion":"1.0.0"}' | CNI_COMMAND=VERSION ${dir}/tulle | grep -q supportedVersions &&
      echo right || echo wrong; done`
  const child = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const said: string[] = []
  child.stdout.setEncoding('utf8').on('data', (text: string) => said.push(text))
  const gone = new Promise((resolve) => child.on('close', resolve))
  try {
    for (let turn = 0; turn < 6; turn++) {
      const words = turn % 2 === 0 ? ['--warm'] : []
      const ended = await runTool(['install', '--dir', dir, ...words])
      t.equal(ended, 0)
    }
  } finally {
    writeFileSync(`${folder}/stop`, '')
    await gone
    rmSync(folder, { recursive: true })
  }
  const answers = said.join('').trim().split('\n')
  t.ok(answers.length > 10, `${answers.length} starts`)
  t.same(
    answers.filter((answer) => answer !== 'right'),
    [],
  )
})

function runTool(words: readonly string[]): Promise<number | null> {
  const child = spawn(executable, words, { stdio: 'ignore' })
  return new Promise((resolve) => child.on('close', resolve))
}

t.test('a launcher that runs while it is taken away still finds what it executes', async (t) => {
  const folder = run(['mktemp', '-d']).stdout.trim()
  t.teardown(() => rmSync(folder, { recursive: true }))
  const [dir, runDir] = [`${folder}/bin`, `${folder}/run`]
  install(dir, '--warm', '--run-dir', runDir)
  mkdirSync(runDir)
  // It listens and never answers: the launcher gives it 50 ms.
  const listen =
    'import socket,sys,time\ns=socket.socket(1,5); s.bind(sys.argv[1]); s.listen(9)\n' +
    'print("x", flush=True); time.sleep(30)'
  const silent = spawn('/usr/bin/python3', ['-c', listen, `${runDir}/cni.sock`])
  t.teardown(() => void silent.kill())
  await new Promise((resolve) => silent.stdout.once('data', resolve))
  const started = new Promise<string>((resolve) => {
    const child = spawn(`${dir}/tulle`, { env: { CNI_COMMAND: 'VERSION' } })
    child.stdin.end('{"cniVersion":"1.0.0"}')
    child.stdout.setEncoding('utf8').once('data', resolve)
    child.on('close', () => resolve(''))
  })
  t.equal(await runTool(['install', '--dir', dir]), 0)
  t.match(await started, 'supportedVersions')
  t.same(readdirSync(dir), ['tulle'])
})
