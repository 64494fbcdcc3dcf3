import t, { type Test } from 'tap'
import {
  add,
  added,
  addressesOf,
  ask,
  check,
  deleted,
  type Mode,
  modes,
  netconf,
  refusalOf,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { complaints, type Firewall, firewalls, listed } from '../support/firewalled.ts'
import { type Host, type Pod, uplink, withHost } from '../support/host.ts'

t.setTimeout(240_000)

const network = (host: Host, mode: Mode, keys: Json = {}): Json =>
  netconf(host, {
    mode,
    families: 'dual',
    ipam: { routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }] },
    keys,
  })

const reaches = (from: Pod['netns'], addresses: readonly string[]): readonly boolean[] =>
  addresses.map((to) => from.exec(['/usr/bin/ping', '-n', '-c', '1', '-W', '0.4', to]).code === 0)
const both = (answer: boolean): readonly boolean[] => [answer, answer]
const outside = [uplink.outside.v4, uplink.outside.v6]

function routeBack(host: Host): void {
  host.outside.ip('route', 'add', '10.77.0.0/24', 'via', uplink.node.v4)
  host.outside.ip('-6', 'route', 'add', 'fd00:77::/64', 'via', uplink.node.v6)
}

const marked = (host: Host): number =>
  host.netns.exec(['nft', 'list', 'ruleset']).stdout.match(/comment "tulle /g)?.length ?? 0

function accepted(t: Test, host: Host, mode: Mode, firewall: Firewall): void {
  routeBack(host)
  firewall.make(host)
  const before = listed(host)
  const blocked = host.pod()
  const off = network(host, mode, { acceptForward: false })
  const lost = addressesOf(added(blocked, off))
  t.same(reaches(blocked.netns, outside), both(false), 'without: not to the outside')
  t.same(reaches(host.outside, lost), both(false), 'without: not from the outside')
  const conf = network(host, mode)
  const pods = [host.pod(), host.pod(), host.pod()]
  const results = pods.map((pod) => added(pod, conf))
  const count = marked(host)
  t.equal(count, firewall.name === 'firewalld' ? 2 : 4, 'a pair a chain, however many pods')
  t.same(complaints(host), [], 'iptables reads its tables')
  for (const [at, pod] of pods.entries()) {
    const own = addressesOf(results[at] ?? {})
    t.same(reaches(pod.netns, outside), both(true), 'to the outside')
    t.same(reaches(host.outside, own), both(true), 'from the outside')
    t.same(reaches(pod.netns, addressesOf(results[(at + 1) % 3] ?? {})), both(true), 'to a pod')
    t.equal(check(pod, conf, results[at]).code, 0, 'CHECK')
  }
  deleted(blocked, off)
  deleted(pods[0] as Pod, conf)
  deleted(pods[1] as Pod, conf, { netns: '' })
  const [, , last] = pods as [Pod, Pod, Pod]
  t.equal(marked(host), count, 'they stay as long as there is a pod')
  t.same(reaches(last.netns, outside), both(true), 'and serve it')
  firewall.forbid(host, uplink.outside.v4)
  t.same(reaches(last.netns, outside), [false, true], "the administrator's own rule wins")
  deleted(last, conf)
  const after = listed(host)
    .split('\n')
    .filter((line) => !line.includes(uplink.outside.v4))
  t.strictSame(after, before.split('\n'), 'every rule of others is as before')
}

for (const mode of modes)
  for (const firewall of firewalls)
    t.test(`${mode}: ${firewall.name}`, (t) =>
      withHost((host) => accepted(t, host, mode, firewall)),
    )

t.test('a host that drops nothing gets no rule', (t) =>
  withHost((host) => {
    for (const program of ['iptables', 'ip6tables'])
      host.netns.exec([program, '-A', 'FORWARD', '-d', '192.0.2.77', '-j', 'DROP'])
    const pod = host.pod()
    const conf = network(host, 'bridge')
    added(pod, conf)
    t.equal(marked(host), 0)
    deleted(pod, conf)
  }),
)

const [dropping] = firewalls as [Firewall]

for (const mode of modes)
  t.test(`${mode}: what a reload flushed is missed by CHECK, and put back by the next ADD`, (t) =>
    withHost((host) => {
      const conf = network(host, mode)
      const pod = host.pod()
      const result = added(pod, conf)
      t.equal(check(pod, conf, result).code, 0, 'nothing drops yet')
      dropping.make(host)
      const found = refusalOf(check(pod, conf, result))
      t.match(found, { code: 104, details: /ip filter FORWARD drops.*lacks the rule "tulle/ })
      t.match(found?.details, /ip6 filter FORWARD drops/)
      t.same(reaches(pod.netns, outside), both(false))
      const next = host.pod()
      added(next, conf)
      t.equal(check(pod, conf, result).code, 0)
      t.equal(marked(host), 4)
      host.netns.exec(['iptables', '-F', 'FORWARD'])
      t.equal(refusalOf(check(pod, conf, result))?.code, 104)
      deleted(pod, conf)
      deleted(next, conf)
      t.equal(marked(host), 0)
    }),
  )

t.test('rules that iptables-restore wrote anew are known again', (t) =>
  withHost((host) => {
    dropping.make(host)
    const conf = network(host, 'bridge')
    const pod = host.pod()
    const result = added(pod, conf)
    for (const program of ['iptables', 'ip6tables'])
      host.netns.exec([
        '/bin/sh',
        '-c',
        `${program}-save > /tmp/s.$$; ${program}-restore < /tmp/s.$$; rm /tmp/s.$$`,
      ])
    t.equal(check(pod, conf, result).code, 0)
    deleted(pod, conf)
    t.notMatch(listed(host), /tulle/)
  }),
)

for (const mode of modes)
  t.test(`${mode}: GC, a refused ADD, and a lost store leave nothing`, (t) =>
    withHost((host) => {
      dropping.make(host)
      const before = listed(host)
      const conf = network(host, mode)
      added(host.pod(), conf)
      const gc = { ...conf, 'cni.dev/valid-attachments': [] }
      t.equal(ask('GC', host, gc).code, 0)
      t.equal(listed(host), before, 'GC')
      const pod = host.pod()
      // the last step of an ADD: the pod's own end can't be set up
      const full = network(host, mode, { runtimeConfig: { ips: ['10.77.0.1/24'] } })
      t.not(add(pod, full).code, 0)
      t.equal(listed(host), before, 'a refused ADD')
      const lost = host.pod()
      added(lost, conf)
      host.netns.exec(['/bin/rm', '-rf', host.dataDir])
      deleted(lost, conf)
      added(host.pod(), conf)
      t.equal(ask('GC', host, gc).code, 0)
      t.equal(listed(host), before, 'a lost store')
    }),
  )

t.test('many at once make one pair', (t) =>
  withHost(async (host) => {
    dropping.make(host)
    const conf = network(host, 'routed')
    const { addedLater } = await import('../support/attachment.ts')
    const pods = Array.from({ length: 6 }, () => host.pod())
    await Promise.all(pods.map((pod) => addedLater(pod, conf)))
    t.equal(marked(host), 4)
    for (const pod of pods) deleted(pod, conf)
    t.equal(marked(host), 0)
  }),
)
