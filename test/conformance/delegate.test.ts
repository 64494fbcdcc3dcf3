import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  add,
  added,
  addressesOf,
  ask,
  attach,
  check,
  del,
  deleted,
  modes,
  netconf,
  onlyOurs,
  refusalOf,
  type Version,
} from '../support/attachment.ts'
import { executable, type Json, versions } from '../support/cni.ts'
import { type Host, withHost } from '../support/host.ts'
import { Recorder } from '../support/recorder.ts'
import { watchResidue } from '../support/residue.ts'
import { errorFaults, resultFaults } from '../support/shape.ts'

t.setTimeout(240_000)

const isOld = (version: Version): boolean => ['0.1.0', '0.2.0'].includes(version)
const hasFamily = (version: Version): boolean => !['1.0.0', '1.1.0'].includes(version)

/** What an IPAM plugin of that version answers. */
function answerOf(version: Version): Json {
  const routes = [{ dst: '0.0.0.0/0' }]
  if (isOld(version)) {
    const ip4 = { ip: '10.90.0.5/24', gateway: '10.90.0.1', routes }
    return { cniVersion: version, ip4, dns: { nameservers: ['10.90.0.53'] } }
  }
  const address = { address: '10.90.0.5/24', gateway: '10.90.0.1' }
  return {
    cniVersion: version,
    ips: [hasFamily(version) ? { version: '4', ...address } : address],
    routes,
    dns: { nameservers: ['10.90.0.53'] },
  }
}

const network = (host: Host, mode: 'routed' | 'bridge', version: Version = '1.1.0'): Json => ({
  ...netconf(host, { mode, version, keys: { ipMasq: true, dataDir: host.dataDir } }),
  ipam: { type: 'recorder', odd: [1, { b: 'é' }] },
})

const oddText = (conf: Json): string => `  ${JSON.stringify(conf, null, 3)}\n\n`

function expectRecorded(t: Test, recorder: Recorder, verb: string, stdin: string): void {
  const calls = recorder.calls()
  t.same(
    calls.map(({ env }) => env.CNI_COMMAND),
    [verb],
    `${verb}: called once`,
  )
  t.equal(calls[0]?.stdin, stdin, `${verb}: the configuration byte for byte`)
}

for (const mode of modes) {
  t.test(`${mode}: every verb is handed on`, (t) =>
    withHost((host) => {
      const recorder = new Recorder(host)
      for (const version of versions satisfies readonly Version[]) {
        recorder.answer('ADD', answerOf(version))
        const pod = host.pod()
        const left = watchResidue(host, [pod.netns])
        const conf = network(host, mode, version)
        const text = oddText(conf)
        const ran = add(pod, text, { args: 'IgnoreUnknown=1;A=b' })
        t.equal(ran.code, 0, `${version}: ${ran.stdout}`)
        const [asked] = recorder.calls()
        t.equal(asked?.stdin, text, 'the configuration byte for byte')
        t.match(asked?.env, {
          CNI_COMMAND: 'ADD',
          CNI_CONTAINERID: pod.container,
          CNI_NETNS: pod.netns.path,
          CNI_IFNAME: 'eth0',
          CNI_ARGS: 'IgnoreUnknown=1;A=b',
          CNI_PATH: onlyOurs(host),
        })
        const result = JSON.parse(ran.stdout)
        t.same(resultFaults(result, version), [])
        t.same(addressesOf(result), ['10.90.0.5'])
        t.same(result.dns, { nameservers: ['10.90.0.53'] })
        if (!isOld(version)) t.equal(result.ips[0].interface, mode === 'bridge' ? 2 : 1)
        const rest = { ...conf, prevResult: result }
        if (!['0.1.0', '0.2.0', '0.3.0', '0.3.1'].includes(version)) {
          t.equal(attach('CHECK', pod, oddText(rest)).code, 0)
          expectRecorded(t, recorder, 'CHECK', oddText(rest))
        }
        deleted(pod, oddText(rest))
        expectRecorded(t, recorder, 'DEL', oddText(rest))
        deleted(pod, oddText(conf), { netns: '' })
        expectRecorded(t, recorder, 'DEL', oddText(conf))
        t.same(left(), [], version)
      }
      const conf = { ...network(host, mode), 'cni.dev/valid-attachments': [] }
      for (const verb of ['STATUS', 'GC'] as const) {
        t.equal(ask(verb, host, oddText(conf)).code, 0)
        expectRecorded(t, recorder, verb, oddText(conf))
      }
    }),
  )
}

const ownError = { cniVersion: '1.1.0', code: 142, msg: 'no lease for you', details: 'the reason' }

t.test('its error is passed on as it is', (t) =>
  withHost((host) => {
    const recorder = new Recorder(host)
    recorder.answer('ADD', answerOf('1.1.0'))
    const conf = network(host, 'routed')
    const pod = host.pod()
    const result = added(pod, conf)
    for (const verb of ['CHECK', 'STATUS', 'GC', 'DEL', 'ADD']) recorder.answer(verb, ownError, 1)
    const checked = check(pod, conf, result)
    const removed = del(pod, conf)
    recorder.answer('DEL', '', 0)
    const asked = { ...conf, 'cni.dev/valid-attachments': [] }
    for (const [verb, ran] of [
      ['CHECK', checked],
      ['STATUS', ask('STATUS', host, asked)],
      ['GC', ask('GC', host, asked)],
      ['DEL', removed],
      ['ADD', add(host.pod(), conf)],
    ] as const) {
      t.equal(ran.code, 1, verb)
      t.same(JSON.parse(ran.stdout), ownError, verb)
    }
    deleted(pod, conf)
  }),
)

t.test('a DEL that it refuses still removes what is ours', (t) =>
  withHost((host) => {
    const recorder = new Recorder(host)
    recorder.answer('ADD', answerOf('1.1.0'))
    recorder.answer('DEL', ownError, 1)
    const pod = host.pod()
    const left = watchResidue(host, [pod.netns])
    added(pod, network(host, 'routed'))
    t.equal(refusalOf(del(pod, network(host, 'routed')))?.code, 142)
    t.same(left(), [])
  }),
)

type Broken = Readonly<{ why: string; answer: Json | string; exit?: number; code: number }>
const ips = (address: unknown, more: Json = {}): Json => ({
  cniVersion: '1.1.0',
  ips: [{ address, ...more }],
})

/** Answers from which no interface can be made: refused, nothing left, and DEL is sent. */
const broken: readonly Broken[] = [
  { why: 'nothing', answer: '', code: 105 },
  { why: 'no JSON', answer: 'hello', code: 105 },
  { why: 'a list', answer: '[]', code: 105 },
  { why: 'null', answer: 'null', code: 105 },
  { why: 'no addresses', answer: { cniVersion: '1.1.0' }, code: 105 },
  { why: 'an empty list of addresses', answer: { cniVersion: '1.1.0', ips: [] }, code: 105 },
  { why: 'an address without prefix', answer: ips('10.90.0.5'), code: 105 },
  { why: 'an address that is none', answer: ips('10.90.0/24'), code: 105 },
  { why: 'an address that is a number', answer: ips(7), code: 105 },
  { why: 'a gateway that is none', answer: ips('10.90.0.5/24', { gateway: 'x' }), code: 105 },
  {
    why: 'a route to nowhere',
    answer: { ...ips('10.90.0.5/24'), routes: [{ dst: '10.0.0/8' }] },
    code: 105,
  },
  {
    why: 'a next hop that the kernel refuses',
    answer: { ...ips('10.90.0.5/24'), routes: [{ dst: '10.0.0.0/8', gw: '224.0.0.1' }] },
    code: 100,
  },
  { why: 'exit 1 without words', answer: '', exit: 1, code: 105 },
  { why: 'exit 3 with words that are no error', answer: 'oops', exit: 3, code: 105 },
  { why: 'exit 1 with a result', answer: ips('10.90.0.5/24'), exit: 1, code: 105 },
]

for (const mode of modes) {
  t.test(`${mode}: answers that are of no use`, (t) =>
    withHost((host) => {
      const recorder = new Recorder(host)
      for (const { why, answer, exit, code } of broken) {
        recorder.answer('ADD', answer, exit ?? 0)
        recorder.calls()
        const pod = host.pod()
        const left = watchResidue(host, [pod.netns])
        const ran = add(pod, network(host, mode))
        t.same(errorFaults(ran), [], `${why}: ${ran.stdout}${ran.stderr}`)
        t.equal(refusalOf(ran)?.code, code, why)
        t.same(recorder.verbs(), ['ADD', 'DEL'], `${why}: DEL is sent after it`)
        t.same(left(), [], `${why}: nothing is left`)
        if (ran.code === 0) deleted(pod, network(host, mode))
      }
    }),
  )
}

t.test('a failure after its ADD sends it a DEL', (t) =>
  withHost((host) => {
    const recorder = new Recorder(host)
    recorder.answer('ADD', answerOf('1.1.0'))
    const pod = host.pod()
    host.netns.ip('link', 'add', 'cni0', 'type', 'veth', 'peer', 'name', 'other')
    const left = watchResidue(host, [pod.netns])
    const ran = add(pod, network(host, 'bridge'))
    t.equal(refusalOf(ran)?.code, 106)
    const verbs = recorder.verbs().join(' ')
    t.ok(['', 'ADD DEL'].includes(verbs), verbs)
    t.same(left(), [])
  }),
)

t.test('a plugin that is not there', (t) =>
  withHost((host) => {
    const conf = { ...network(host, 'routed'), ipam: { type: 'nowhere' } }
    const pod = host.pod()
    const left = watchResidue(host, [pod.netns])
    for (const [ran, says] of [
      [add(pod, conf), onlyOurs(host)],
      [ask('STATUS', host, conf), onlyOurs(host)],
      [add(pod, conf, { path: '' }), 'CNI_PATH'],
    ] as const) {
      t.same(errorFaults(ran), [])
      const text = `${refusalOf(ran)?.msg} ${refusalOf(ran)?.details}`
      t.ok(text.includes('nowhere') && text.includes(says), text)
    }
    t.same(left(), [])
  }),
)

/** A chain of processes without end, if it were taken at its word: here it ends at the third. */
t.test('an IPAM that is ourselves', (t) =>
  withHost((host) => {
    const directory = join(host.directory, 'deep')
    mkdirSync(directory)
    const script = `#!/bin/sh\necho x >> ${directory}/depth
[ $(/usr/bin/wc -l < ${directory}/depth) -gt 3 ] && exit 9\nexec ${executable}\n`
    writeFileSync(join(directory, 'tulle'), script, { mode: 0o755 })
    const conf = { ...network(host, 'routed'), ipam: { type: 'tulle' } }
    const pod = host.pod()
    const left = watchResidue(host, [pod.netns])
    const ran = add(pod, conf, { path: directory })
    t.same(errorFaults(ran), [])
    t.equal(refusalOf(ran)?.code, 7, ran.stdout)
    t.notOk(existsSync(join(directory, 'depth')), 'no second process is started')
    t.same(left(), [])
  }),
)

/** Debian's own plugins, under names that are not built in; they speak up to 1.0.0. */
const debian = [
  {
    name: 'debian-host-local',
    program: '/usr/lib/cni/host-local',
    ipam: { subnet: '10.91.0.0/24', routes: [{ dst: '0.0.0.0/0' }] },
    prefix: '10.91.0.',
  },
  {
    name: 'debian-static',
    program: '/usr/lib/cni/static',
    ipam: { addresses: [{ address: '10.91.0.77/24', gateway: '10.91.0.1' }] },
    prefix: '10.91.0.77',
  },
]

for (const { name, program, ipam, prefix } of debian) {
  t.test(`Debian’s ${program}`, (t) =>
    withHost((host) => {
      symlinkSync(program, join(onlyOurs(host), name))
      for (const mode of modes) {
        for (const version of versions.filter((one) => one !== '1.1.0')) {
          const dataDir = join(host.directory, 'reference')
          const conf = { ...network(host, mode, version), ipam: { type: name, dataDir, ...ipam } }
          const pod = host.pod()
          const left = watchResidue(host, [pod.netns])
          const result = added(pod, conf)
          t.same(resultFaults(result, version), [], `${mode} ${version}`)
          t.ok(addressesOf(result)[0]?.startsWith(prefix), `${mode} ${version}`)
          if (['0.4.0', '1.0.0'].includes(version)) t.equal(check(pod, conf, result).code, 0)
          deleted(pod, { ...conf, prevResult: result })
          t.same(left(), [], `${mode} ${version}`)
        }
      }
      const newest = { ...network(host, 'routed'), ipam: { type: name, ...ipam } }
      const ran = add(host.pod(), newest)
      t.equal(refusalOf(ran)?.code, 1, 'at 1.1.0 its own refusal of the version comes through')
    }),
  )
}
