import t from 'tap'
import { add, ask, attach, del, netconf, type PodVerb, refusalOf } from '../support/attachment.ts'
import { call, type Json } from '../support/cni.ts'
import { withHost } from '../support/host.ts'
import { watchResidue } from '../support/residue.ts'
import { errorFaults } from '../support/shape.ts'

t.setTimeout(240_000)

type Env = Readonly<Record<string, string>>
type Row = Readonly<{ why: string; env: Env; code: number; says?: string }>

const complete: Env = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'id',
  CNI_NETNS: '/run/netns/tt-nowhere',
  CNI_IFNAME: 'eth0',
}
const without = (...names: readonly string[]): Env =>
  Object.fromEntries(Object.entries(complete).filter(([name]) => !names.includes(name)))

/** Rules E1 to E8: every row is refused before anything is touched. */
const refused: readonly Row[] = [
  {
    why: 'E1 an unknown verb is named in the words that libcni matches',
    env: { ...complete, CNI_COMMAND: 'FROB' },
    code: 4,
    says: 'unknown CNI_COMMAND: FROB',
  },
  {
    why: 'E1 verbs are upper case',
    env: { ...complete, CNI_COMMAND: 'add' },
    code: 4,
    says: 'unknown CNI_COMMAND: add',
  },
  { why: 'E2 no container id', env: without('CNI_CONTAINERID'), code: 4, says: 'CNI_CONTAINERID' },
  { why: 'E3 no interface name', env: without('CNI_IFNAME'), code: 4, says: 'CNI_IFNAME' },
  { why: 'E4 no netns on ADD', env: without('CNI_NETNS'), code: 4, says: 'CNI_NETNS' },
  {
    why: 'E4 no netns on CHECK',
    env: { ...without('CNI_NETNS'), CNI_COMMAND: 'CHECK' },
    code: 4,
    says: 'CNI_NETNS',
  },
  {
    why: 'E8 missing variables are reported together',
    env: without('CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'),
    code: 4,
    says: '[CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME]',
  },
  {
    why: 'E8 on DEL the netns is not among them',
    env: { CNI_COMMAND: 'DEL' },
    code: 4,
    says: '[CNI_CONTAINERID,CNI_IFNAME]',
  },
  ...['-id', '.id', '_id', 'a/b', 'a b', 'a\n', 'é', 'a:b', '../x'].map((text) => ({
    why: `E2 container id ${JSON.stringify(text)}`,
    env: { ...complete, CNI_CONTAINERID: text },
    code: 4,
    says: text.trim(),
  })),
  ...['.', '..', 'a/b', 'a:b', 'a b', 'a\u00a0b', 'a\tb', 'sixteenletters16', 'éééééééé'].map(
    (text) => ({
      why: `E3 interface name ${JSON.stringify(text)}`,
      env: { ...complete, CNI_IFNAME: text },
      code: 4,
    }),
  ),
  ...['A', 'A=b=c', 'IgnoreUnknown=1;', ';', 'IgnoreUnknown=1;;A=b'].map((text) => ({
    why: `E6 CNI_ARGS ${JSON.stringify(text)}`,
    env: { ...complete, CNI_ARGS: text },
    code: 4,
    says: 'CNI_ARGS',
  })),
  { why: 'E6 unknown key', env: { ...complete, CNI_ARGS: 'a=b' }, code: 4, says: 'a' },
  {
    why: 'E6 keys of CNI_ARGS are case-sensitive',
    env: { ...complete, CNI_ARGS: 'ignoreunknown=1;a=b' },
    code: 4,
  },
  {
    why: 'E6 IgnoreUnknown that is neither 1 nor true',
    env: { ...complete, CNI_ARGS: 'IgnoreUnknown=0;a=b' },
    code: 4,
  },
]

t.test('refused environments', (t) =>
  withHost((host) => {
    const conf = netconf(host, { mode: 'routed' })
    const left = watchResidue(host, [])
    for (const { why, env, code, says } of refused) {
      const ran = call({ verb: 'ADD', conf, node: host.netns, env })
      t.same(errorFaults(ran), [], why)
      const refusal = refusalOf(ran)
      t.equal(refusal?.code, code, `${why}: code`)
      const words = `${refusal?.msg} ${refusal?.details}`
      t.ok(words.includes(says ?? ''), `${why}: ${JSON.stringify(says)} in ${words}`)
    }
    t.same(left(), [])
  }),
)

/** Every way in which a netns can be wrong; the node's own is a throw-away one here. */
t.test('a netns that is none, or the node’s own', (t) =>
  withHost((host) => {
    const conf = netconf(host, { mode: 'routed' })
    const left = watchResidue(host, [])
    const wrong = ['/run/netns/tt-nowhere', '/etc/hostname', '/proc/self/ns/mnt', '/', 'relative']
    const pod = host.pod()
    for (const verb of ['ADD', 'CHECK'] as const) {
      const asked = verb === 'CHECK' ? { ...conf, prevResult: { cniVersion: '1.1.0' } } : conf
      for (const netns of [...wrong, host.netns.path]) {
        const ran = attach(verb, pod, asked, { netns })
        t.same(errorFaults(ran), [], `${verb} ${netns}`)
        t.equal(refusalOf(ran)?.code, 8, `${verb} ${netns}: code`)
      }
    }
    const own = del({ ...pod, ifname: 'up0' }, conf, { netns: host.netns.path })
    t.equal(refusalOf(own)?.code, 8, 'E7 DEL of the node’s own uplink')
    const asked = { netns: host.netns.path, env: { CNI_NETNS_OVERRIDE: 'True' } }
    const forced = del({ ...pod, ifname: 'up0' }, conf, asked)
    t.equal(forced.code, 0, 'E7 CNI_NETNS_OVERRIDE switches the test off')
    t.same(left(), [], 'and the uplink, which is not ours, is still there')
  }),
)

const confs: readonly Readonly<{ why: string; conf: string; codes: readonly number[] }>[] = [
  { why: 'E9 nothing', conf: '', codes: [6] },
  { why: 'E9 no JSON', conf: '{', codes: [6] },
  { why: 'E9 two objects', conf: '{}{}', codes: [6] },
  { why: 'E9 a list', conf: '[]', codes: [6, 7] },
  { why: 'E9 a text', conf: '"net"', codes: [6, 7] },
  { why: 'E9 null', conf: 'null', codes: [6, 7] },
  { why: 'E9 no name', conf: '{"cniVersion":"1.1.0","type":"tulle"}', codes: [7] },
  { why: 'E9 empty name', conf: '{"cniVersion":"1.1.0","name":"","type":"tulle"}', codes: [7] },
  { why: 'E9 bad name', conf: '{"cniVersion":"1.1.0","name":"../x","type":"tulle"}', codes: [7] },
  { why: 'E10 unknown version', conf: '{"cniVersion":"9.9.9","name":"net"}', codes: [1] },
  { why: 'E10 short version', conf: '{"cniVersion":"1.0","name":"net"}', codes: [1] },
  { why: 'E10 padded version', conf: '{"cniVersion":"1.0.0 ","name":"net"}', codes: [1] },
  { why: 'E10 version of no text', conf: '{"cniVersion":1,"name":"net"}', codes: [1, 6, 7] },
]

t.test('refused configurations', (t) =>
  withHost((host) => {
    const pod = host.pod()
    for (const verb of ['ADD', 'DEL', 'CHECK'] as const satisfies readonly PodVerb[]) {
      for (const { why, conf, codes } of confs) {
        const ran = attach(verb, pod, conf)
        t.same(errorFaults(ran), [], `${verb} ${why}`)
        t.ok(codes.includes(refusalOf(ran)?.code ?? 0), `${verb} ${why}: ${ran.stdout}`)
      }
    }
    const ran = add(pod, { cniVersion: '9.9.9', name: 'net' })
    const details = String(refusalOf(ran)?.details)
    t.ok(
      ['9.9.9', '0.1.0', '1.1.0'].every((text) => details.includes(text)),
      'names both sides',
    )
    const unreadable = add(pod, {}, { wrapper: ['/bin/sh', '-c', 'exec "$@" < /', 'sh'] })
    t.same(errorFaults(unreadable), [])
    t.equal(refusalOf(unreadable)?.code, 5, 'E9 stdin that is a directory')
  }),
)

const accepted: readonly Readonly<{ why: string; env?: Env; keys?: Json; container?: string }>[] = [
  { why: 'E5 no CNI_PATH is needed for the built-in IPAM', env: {} },
  { why: 'E6 unknown keys with IgnoreUnknown=1', env: { CNI_ARGS: 'a=b;IgnoreUnknown=1;c=d' } },
  { why: 'E6 IgnoreUnknown=TRUE', env: { CNI_ARGS: 'a=b;IgnoreUnknown=TRUE' } },
  { why: 'E6 an empty value', env: { CNI_ARGS: 'IgnoreUnknown=true;MAC=;IP=' } },
  { why: 'E6 empty CNI_ARGS', env: { CNI_ARGS: '' } },
  {
    why: 'E11 trace context',
    env: {
      TRACEPARENT: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      TRACESTATE: 'a=b',
      BAGGAGE: 'c=d',
    },
  },
  { why: 'unknown keys and capabilities on stdin', keys: { frob: 1, capabilities: { ips: true } } },
  { why: 'an inherited LD_LIBRARY_PATH', env: { LD_LIBRARY_PATH: '/nonexistent' } },
  { why: 'an inherited NODE_OPTIONS', env: { NODE_OPTIONS: '--require /nonexistent.js' } },
  { why: 'an inherited NODE_EXTRA_CA_CERTS', env: { NODE_EXTRA_CA_CERTS: '/nonexistent' } },
  { why: 'E2 a container id of 64 characters', container: 'c'.repeat(64) },
  { why: 'E2 a container id of 1,000 characters', container: 'c'.repeat(1000) },
  { why: 'E2 an id with every allowed character', container: '0aZ_.-' },
]

t.test('accepted environments', (t) =>
  withHost((host) => {
    for (const { why, env, keys, container } of accepted) {
      const pod = host.pod()
      const one = { ...pod, container: container ?? pod.container }
      const conf = netconf(host, { mode: 'routed', keys: keys ?? {} })
      const left = watchResidue(host, [pod.netns])
      const ran = add(one, conf, env === undefined ? {} : { env })
      t.equal(ran.code, 0, `${why}: ${ran.stdout}${ran.stderr}`)
      t.equal(attach('DEL', one, conf, env === undefined ? {} : { env }).code, 0)
      t.same(left(), [], `${why}: nothing is left`)
    }
  }),
)

t.test('E10 no version means 0.1.0', (t) =>
  withHost((host) => {
    const { cniVersion: _, ...conf } = netconf(host, { mode: 'routed' })
    for (const asked of [conf, { ...conf, cniVersion: '' }]) {
      const pod = host.pod()
      const ran = add(pod, asked)
      t.match(JSON.parse(ran.stdout), { cniVersion: '0.1.0', ip4: { ip: /^10\.77\.0\./ } })
      t.equal(del(pod, asked).code, 0)
    }
  }),
)

t.test('VERSION answers whatever the environment', (t) =>
  withHost((host) => {
    const dummy = { CNI_NETNS: 'dummy', CNI_IFNAME: 'dummy', CNI_PATH: 'dummy' }
    const versions = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0']
    for (const cniVersion of versions) {
      const ran = ask('VERSION', host, { cniVersion }, { env: { ...dummy, CNI_CONTAINERID: '' } })
      t.equal(ran.code, 0)
      t.same(JSON.parse(ran.stdout), { cniVersion, supportedVersions: versions })
    }
    for (const conf of ['', '{', '{"cniVersion":"9.9.9"}', '[]']) {
      const ran = ask('VERSION', host, conf)
      t.equal(ran.code, 0, `VERSION with ${JSON.stringify(conf)}`)
      t.same(JSON.parse(ran.stdout), { cniVersion: '1.1.0', supportedVersions: versions })
    }
  }),
)

t.test('without a verb it says what it is, and reads nothing', (t) =>
  withHost((host) => {
    const open = ['/usr/bin/timeout', '5', '/bin/sh', '-c', 'exec "$@" <> /dev/ptmx', 'sh']
    for (const wrapper of [[], open]) {
      const ran = ask('VERSION', host, '', { env: { CNI_COMMAND: '' }, wrapper })
      t.same([ran.code, ran.stdout], [0, ''])
      t.match(ran.stderr, /^CNI tulle plugin v\d+\.\d+\.\d+ \(CNI 0\.1\.0 .*1\.1\.0\)\n$/)
    }
  }),
)
