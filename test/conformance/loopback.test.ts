import { readFileSync } from 'node:fs'
import t from 'tap'
import {
  ask as askNode,
  attachLater,
  netconf,
  type Result,
  refusalOf,
  type Version,
} from '../support/attachment.ts'
import { type Json, versions } from '../support/cni.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import { type Asked, ask, asked, asOurs, type Maker } from '../support/named.ts'
import { run } from '../support/netns.ts'
import { resultFaults } from '../support/shape.ts'

t.setTimeout(240_000)

const makers = ['reference', 'ours'] as const satisfies readonly Maker[]

/** What containerd has built in. */
const conf = (version: Version = '0.3.1', more: Json = {}): Json => ({
  cniVersion: version,
  name: 'cni-loopback',
  type: 'loopback',
  ...more,
})
const loopback = (maker: Maker, json: Json): Asked => ({ maker, name: 'loopback', conf: json })

/** A pod whose `lo` is down, as a runtime hands it over. */
function freshPod(host: Host, ifname = 'lo'): Pod {
  const pod = host.pod(ifname)
  pod.netns.ip('link', 'set', 'lo', 'down')
  return pod
}

const isUp = (pod: Pod): boolean =>
  String(pod.netns.ipJson('link', 'show', 'dev', 'lo')[0]?.flags)
    .split(',')
    .includes('UP')

const addressesOf = (pod: Pod): readonly string[] =>
  ((pod.netns.ipJson('addr', 'show', 'dev', 'lo')[0]?.addr_info ?? []) as Json[]).map(({ local }) =>
    String(local),
  )

/** The namespace's path, which differs from pod to pod, by what it stands for. */
const plain = (pod: Pod, text: string): Result =>
  JSON.parse(text.replaceAll(pod.netns.path, 'NETNS')) as Result

/**
 * What we want to be otherwise. The reference stamps the result of 1.0.0 with any other version;
 * ours has that version's shape. Empty dns is left out from 1.0.0 on, as libcni 1.2 does; Debian's
 * 1.1.1 prints it.
 */
function asReference({ ip4, ip6, ips, ...rest }: Result): unknown {
  const lo = [{ name: 'lo', mac: '00:00:00:00:00:00', sandbox: 'NETNS' }]
  const old = [ip4, ip6].flatMap((one) => (one ? [{ address: one.ip, interface: 0 }] : []))
  const plainIps = ips?.map(({ version: _, ...ip }) => ip)
  return { dns: {}, ...rest, interfaces: rest.interfaces ?? lo, ips: plainIps ?? old }
}

for (const version of versions.filter((one) => one !== '1.1.0')) {
  t.test(`${version}: result and state are the reference's`, (t) =>
    withHost((host) => {
      const [theirs, ours] = makers.map((maker) => {
        const pod = freshPod(host)
        const ran = ask('ADD', pod, loopback(maker, conf(version)))
        t.equal(ran.code, 0, `${maker}: ${ran.stdout}`)
        const result = plain(pod, ran.stdout)
        if (maker === 'ours')
          t.same(resultFaults(JSON.parse(ran.stdout), version), [], 'the shape of its version')
        const told = maker === 'ours' ? asReference(result) : result
        const seen = [told, isUp(pod), addressesOf(pod)]
        asked('DEL', pod, loopback(maker, conf(version)))
        return [...seen, isUp(pod), addressesOf(pod)]
      })
      t.strictSame(ours, theirs)
      t.same(ours?.slice(1, 4), [true, ['127.0.0.1', '::1'], false])
    }),
  )
}

t.test('1.1.0: as 1.0.0, with CHECK, and GC and STATUS that have nothing to do', (t) =>
  withHost((host) => {
    const pod = freshPod(host)
    const what = loopback('ours', conf('1.1.0'))
    const result = asked('ADD', pod, what)
    t.strictSame(plain(pod, JSON.stringify(result)), {
      cniVersion: '1.1.0',
      interfaces: [{ name: 'lo', mac: '00:00:00:00:00:00', sandbox: 'NETNS' }],
      ips: [
        { address: '127.0.0.1/8', interface: 0 },
        { address: '::1/128', interface: 0 },
      ],
    })
    asked('CHECK', pod, loopback('ours', { ...what.conf, prevResult: result }))
    for (const verb of ['GC', 'STATUS'] as const) {
      const ran = askNode(verb, host, what.conf, asOurs(host, 'loopback'))
      t.same([ran.code, ran.stdout, ran.stderr], [0, '', ''], verb)
      const old = askNode(verb, host, conf('1.0.0'), asOurs(host, 'loopback'))
      t.equal(refusalOf(old)?.code, 1, `${verb} came with 1.1.0`)
    }
    t.ok(isUp(pod), 'and GC took nothing')
    const about = run([asOurs(host, 'loopback').plugin])
    t.match(about.stderr, /^CNI loopback plugin v1\.9\.1 /)
  }),
)

t.test('whatever the interface is called, lo is meant', (t) =>
  withHost((host) => {
    for (const maker of makers) {
      const pod = freshPod(host, 'eth7')
      t.equal(asked('ADD', pod, loopback(maker, conf())).interfaces?.[0]?.name, 'lo', maker)
      t.ok(isUp(pod), maker)
    }
  }),
)

t.test('CHECK says that lo is down', (t) =>
  withHost((host) => {
    for (const maker of makers) {
      const pod = freshPod(host)
      const what = loopback(maker, conf('1.0.0'))
      const prevResult = asked('ADD', pod, what)
      const again = loopback(maker, { ...what.conf, prevResult })
      asked('CHECK', pod, again)
      pod.netns.ip('link', 'set', 'lo', 'down')
      const ran = ask('CHECK', pod, again)
      t.equal(ran.code, 1, maker)
      if (maker === 'ours') t.equal(refusalOf(ran)?.code, 104)
      t.match(ran.stdout, / is down/, maker)
    }
    const old = ask('CHECK', freshPod(host), loopback('ours', conf('0.3.1')))
    t.equal(refusalOf(old)?.code, 1, 'CHECK came with 0.4.0')
  }),
)

t.test('behind another plugin the result goes on as it came', (t) =>
  withHost((host) => {
    const prevResult = {
      cniVersion: '1.0.0',
      interfaces: [{ name: 'eth0', mac: '0a:58:0a:00:00:03', sandbox: '/x' }],
      ips: [{ address: '10.1.0.5/16', interface: 0 }],
      dns: {},
    }
    for (const maker of makers) {
      const pod = freshPod(host)
      t.strictSame(asked('ADD', pod, loopback(maker, conf('1.0.0', { prevResult }))), prevResult)
      t.ok(isUp(pod), maker)
    }
  }),
)

t.test('beside the main network, at the same time, as containerd starts them', (t) =>
  withHost(async (host) => {
    const main = netconf(host, { mode: 'routed', families: 'dual' })
    for (let round = 0; round < 3; round += 1) {
      const pod = freshPod(host, 'eth0')
      const lo = { ...asOurs(host, 'loopback'), ifname: 'lo' }
      const [both, other] = await Promise.all([
        attachLater('ADD', pod, main),
        attachLater('ADD', pod, conf(), lo),
      ])
      t.same([both.code, other.code], [0, 0], `${both.stdout}${other.stdout}`)
      t.ok(isUp(pod))
      t.match(pod.netns.ip('addr', 'show', 'dev', 'eth0'), /10\.77\.0\./)
      await Promise.all([attachLater('DEL', pod, main), attachLater('DEL', pod, conf(), lo)])
    }
  }),
)

t.test('no store, no database: nothing but the namespace', (t) =>
  withHost((host) => {
    const file = `${host.directory}/trace`
    const wrapper = ['/usr/bin/strace', '-f', '-qqq', '-o', file, '-e', 'trace=%file']
    for (const verb of ['ADD', 'DEL'] as const) {
      asked(verb, freshPod(host), loopback('ours', conf()), { wrapper })
      const touched = readFileSync(file, 'utf8')
      t.match(touched, /\/run\/netns\//, `${verb} is traced`)
      t.notMatch(touched, /tulle\.(db|lock)|\/var\/lib\/cni/, verb)
    }
  }),
)

t.test('DEL: again, without a namespace, with one that is gone', (t) =>
  withHost((host) => {
    for (const maker of makers) {
      const pod = freshPod(host)
      const what = loopback(maker, conf())
      asked('ADD', pod, what)
      asked('DEL', pod, what)
      asked('DEL', pod, what)
      asked('DEL', pod, what, { netns: '' })
      asked('DEL', pod, what, { netns: '/run/netns/tt-gone' })
      t.notOk(isUp(pod), maker)
    }
    const ordinary = ask('DEL', freshPod(host), loopback('ours', conf()), { netns: '/etc/hosts' })
    t.same([ordinary.code, ordinary.stdout], [0, ''], 'a path that a namespace was once mounted at')
  }),
)

t.test("the node's own lo is nobody's", (t) =>
  withHost((host) => {
    const what = loopback('ours', conf())
    for (const verb of ['ADD', 'DEL'] as const) {
      const ran = ask(verb, freshPod(host), what, { netns: host.netns.path })
      t.equal(refusalOf(ran)?.code, 8, `${verb}: ${ran.stdout}`)
    }
    t.match(host.netns.ip('link', 'show', 'dev', 'lo'), /[<,]UP[,>]/)
  }),
)

/** The reference refuses ADD then; nothing of a pod is worse for an address more on its lo. */
t.test('an address of the pod’s own on lo is not told of, and no fault (the reference: one)', (t) =>
  withHost((host) => {
    const pod = freshPod(host)
    pod.netns.ip('link', 'set', 'lo', 'up')
    pod.netns.ip('addr', 'add', '198.51.100.7/32', 'dev', 'lo')
    pod.netns.ip('addr', 'add', '2001:db8::7/128', 'dev', 'lo', 'nodad')
    t.equal(ask('ADD', pod, loopback('reference', conf())).code, 1)
    const { ips } = asked('ADD', pod, loopback('ours', conf()))
    t.same(
      ips?.map(({ address }) => address),
      ['127.0.0.1/8', '::1/128'],
    )
  }),
)

t.test('what is wrong with a call is said with its code', (t) =>
  withHost((host) => {
    const pod = freshPod(host)
    const rows = [
      { code: 8, conf: conf(), more: { netns: '/run/netns/tt-gone' } },
      { code: 1, conf: { ...conf(), cniVersion: '9.9.9' }, more: {} },
      { code: 7, conf: { ...conf(), name: '' }, more: {} },
      { code: 7, conf: conf('1.0.0', { prevResult: [] }), more: {} },
      { code: 1, conf: conf('1.0.0', { prevResult: { cniVersion: '0.4.0' } }), more: {} },
      { code: 4, conf: conf(), more: { container: '' } },
    ]
    for (const { code, conf: json, more } of rows) {
      const ran = ask('ADD', pod, loopback('ours', json), more)
      t.equal(refusalOf(ran)?.code, code, ran.stdout)
    }
  }),
)
