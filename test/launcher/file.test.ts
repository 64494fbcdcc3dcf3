import { copyFileSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { buildIdOf } from '../../scripts/build-id.mjs'
import { placedLauncher, readLauncher, unfitPlaces } from '../../src/store/launcher.ts'
import { executable } from '../support/cni.ts'
import { run } from '../support/netns.ts'
import { launcher, Stage, toldBy } from './stage.ts'

// The file itself: what it is made of, and the paths that it carries.

t.test('small, static, and nothing both written and executed', (t) => {
  t.ok(statSync(launcher).size <= 16_384, `${statSync(launcher).size} bytes`)
  const headers = run(['readelf', '--wide', '--program-headers', '--dynamic', launcher]).stdout
  t.notMatch(headers, /INTERP|DYNAMIC/)
  t.match(headers, /There is no dynamic section/)
  const loads = [...headers.matchAll(/^ +(LOAD|GNU_STACK) .* ([R ][W ][E ]) 0x\w+$/gm)]
  const rights = loads.map(([, kind, flags]) => `${kind} ${flags}`)
  t.same(rights, ['LOAD R E', 'LOAD RW ', 'GNU_STACK RW '])
  t.equal(run(['nm', '--undefined-only', launcher]).stdout, '')
  t.end()
})

const defaults = { executable: '/opt/cni/bin/.tulle/tulle', socket: '/run/tulle/cni.sock' }

t.test('paths that it carries, and those of a file that nobody wrote them to', (t) => {
  t.same(readLauncher(launcher), defaults)
  const bytes = readFileSync(launcher)
  t.ok(bytes.equals(placedLauncher(bytes, defaults)), 'nothing else is in the fields')
  const places = { executable: `/${'x'.repeat(254)}`, socket: '/ü/cni.sock' }
  const stage = new Stage()
  stage.place(places)
  t.same(readLauncher(stage.path), places)
  stage.place(defaults)
  t.same(readLauncher(stage.path), defaults, 'a shorter path leaves nothing of a longer one')
  for (const other of [executable, '/bin/true', '/', join(stage.folder, 'gone')])
    t.equal(readLauncher(other), undefined, other)
  t.throws(() => placedLauncher(readFileSync('/bin/true'), places), /not the bytes of a launcher/)
  void stage.close().then(() => t.end())
})

t.test('paths that it can not carry', (t) => {
  const cases = [
    [{ executable: 'bin/tulle', socket: '/s' }, /^bin\/tulle: .* starts with "\/"/],
    [{ executable: '/e', socket: 'run/s' }, /^run\/s: .* starts with "\/"/],
    [{ executable: `/${'x'.repeat(255)}`, socket: '/s' }, /256 bytes, .* holds 255/],
    [{ executable: `/${'ü'.repeat(128)}`, socket: '/s' }, /257 bytes, .* holds 255/],
    [{ executable: '/e', socket: `/${'x'.repeat(107)}` }, /108 bytes, .* holds 107/],
    [{ executable: '/e\0', socket: '/s' }, /NUL/],
  ] as const
  for (const [places, why] of cases) t.match(unfitPlaces(places), why)
  t.equal(
    unfitPlaces({ executable: `/${'x'.repeat(254)}`, socket: `/${'x'.repeat(106)}` }),
    undefined,
  )
  t.end()
})

t.test('as it was built, it asks and executes what is there by default', async (t) => {
  const stage = new Stage()
  t.teardown(() => stage.close())
  stage.placeUnwritten()
  const trace = join(stage.folder, 'trace')
  const under = ['strace', '-o', trace, '-e', 'trace=connect,execve']
  t.ok(toldBy(await stage.call({ under })), 'what is beside it comes first')
  t.match(readFileSync(trace, 'utf8'), '"/run/tulle/cni.sock"')
})

t.test('what it executes: beside it, else where it says, else it says why', async (t) => {
  const stage = new Stage()
  t.teardown(() => stage.close())
  const elsewhere = join(stage.folder, 'elsewhere')
  copyFileSync(stage.executable, elsewhere)
  stage.place({ executable: elsewhere, socket: stage.socket })
  run(['rm', stage.executable])
  t.ok(toldBy(await stage.call({ input: 'x' })), 'where it says')
  run(['rm', elsewhere])
  const { code, stdout } = await stage.call({ input: 'x' })
  t.equal(code, 1)
  t.match(JSON.parse(`${stdout}`), { cniVersion: '1.1.0', code: 5, details: /^Cannot .* errno 2;/ })
  const bare = await stage.call({ env: { CNI_COMMAND: '' } })
  t.same([bare.code, `${bare.stdout}`], [1, ''])
  t.match(bare.stderr, /^Cannot execute Node: errno 2; .*\n$/)
})

t.test('by another name, and through a link, it is the same', async (t) => {
  const stage = new Stage()
  t.teardown(() => stage.close())
  const link = join(stage.folder, 'elsewhere')
  run(['ln', '-s', stage.path, link])
  stage.place({ executable: '/nowhere', socket: stage.socket })
  t.same(toldBy(await stage.call({ program: link }))?.words, [link])
})

t.test('the name of a build', (t) => {
  const pieces = { a: 'x', b: 'y' }
  const name = buildIdOf('1.2.3', pieces)
  t.match(name, /^1\.2\.3\+[0-9a-f]{12}$/)
  t.equal(buildIdOf('1.2.3', { b: 'y', a: Buffer.from('x') }), name, 'in any order')
  for (const other of [{ a: 'x', b: 'z' }, { a: 'xb', b: 'y' }, { a: 'xy' }, { c: 'x', b: 'y' }])
    t.not(buildIdOf('1.2.3', other), name, JSON.stringify(other))
  t.end()
})

t.test('launcher and executable have one name', (t) => {
  const [, name = ''] = /tulle-cni 1 (\S+) /.exec(readFileSync(launcher, 'latin1')) ?? []
  t.match(name, /^\d+\.\d+\.\d+\S*\+[0-9a-f]{12}$/)
  t.ok(readFileSync(executable).includes(name), name)
  t.end()
})
