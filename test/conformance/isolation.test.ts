import t, { type Test } from 'tap'
import {
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
import { type Host, type Pod, uplink, withHost } from '../support/host.ts'
import { watchResidue } from '../support/residue.ts'

t.setTimeout(240_000)

type Policy = 'open' | 'same-bridge' | 'isolated'

/** Networks a and b, each with its bridge in bridge mode, dual stack. */
const network = (host: Host, mode: Mode, name: string, ingressPolicy: Policy): Json => {
  const number = name.charCodeAt(0)
  return netconf(host, {
    mode,
    name,
    ipam: {
      ranges: [[{ subnet: `10.${number}.0.0/24` }], [{ subnet: `fd00:${number}::/64` }]],
      routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
    },
    keys: { ingressPolicy, ...(mode === 'bridge' ? { bridge: `cni${name}` } : {}) },
  })
}

type Placed = Readonly<{ pod: Pod; conf: Json; addresses: readonly string[] }>
const place = (host: Host, conf: Json): Placed => {
  const pod = host.pod()
  return { pod, conf, addresses: addressesOf(added(pod, conf)) }
}

/** Whether each of the addresses answers a ping. */
const reaches = (from: Pod['netns'], addresses: readonly string[]): readonly boolean[] =>
  addresses.map((to) => from.exec(['/usr/bin/ping', '-n', '-c', '1', '-W', '0.4', to]).code === 0)
const both = (answer: boolean): readonly boolean[] => [answer, answer]

const callIptables = (host: Host, value: '0' | '1'): void => {
  for (const name of ['bridge-nf-call-iptables', 'bridge-nf-call-ip6tables'])
    host.netns.exec(['/bin/sh', '-c', `echo ${value} > /proc/sys/net/bridge/${name}`])
}

/** The outside knows the way back to every pod. */
function routeBack(host: Host): void {
  host.outside.ip('route', 'add', '10.0.0.0/8', 'via', uplink.node.v4)
  host.outside.ip('-6', 'route', 'add', 'fd00::/16', 'via', uplink.node.v6)
}

type Row = Readonly<{ a: Policy; b: Policy; same: boolean; across: boolean }>
const rows: readonly Row[] = [
  { a: 'open', b: 'open', same: true, across: true },
  { a: 'same-bridge', b: 'same-bridge', same: true, across: false },
  { a: 'isolated', b: 'same-bridge', same: false, across: false },
  { a: 'isolated', b: 'isolated', same: false, across: false },
  // As with the reference: a network without a policy is no party to any.
  { a: 'same-bridge', b: 'open', same: true, across: true },
  { a: 'isolated', b: 'open', same: false, across: true },
]

function traffic(t: Test, host: Host, mode: Mode, { a, b, same, across }: Row): void {
  const left = watchResidue(host, [])
  const [confA, confB] = [network(host, mode, 'a', a), network(host, mode, 'b', b)]
  const [one, two, other] = [place(host, confA), place(host, confA), place(host, confB)]
  for (const value of ['0', '1'] as const) {
    callIptables(host, value)
    const why = `${mode}, ${a} beside ${b}, br_netfilter ${value}`
    t.same(reaches(one.pod.netns, two.addresses), both(same), `${why}: same network`)
    t.same(reaches(one.pod.netns, other.addresses), both(across), `${why}: to the other`)
    t.same(reaches(other.pod.netns, one.addresses), both(across), `${why}: from the other`)
    for (const { pod, addresses } of [one, other]) {
      t.same(reaches(host.netns, addresses), both(true), `${why}: from the host`)
      t.same(reaches(pod.netns, [uplink.node.v4, uplink.node.v6]), both(true), `${why}: to it`)
      t.same(reaches(host.outside, addresses), both(true), `${why}: from outside`)
      const outside = [uplink.outside.v4, uplink.outside.v6]
      t.same(reaches(pod.netns, outside), both(true), `${why}: to the outside`)
    }
  }
  callIptables(host, '0')
  deleted(two.pod, confA)
  t.same(reaches(one.pod.netns, other.addresses), both(across), 'one pod less: as before')
  deleted(one.pod, confA, { netns: '' })
  deleted(other.pod, confB)
  t.same(
    left().filter((line) => !/forwarding/.test(line)),
    [],
    'nothing is left',
  )
}

for (const mode of modes)
  for (const row of rows)
    t.test(`${mode}: ${row.a} beside ${row.b}`, (t) =>
      withHost((host) => {
        routeBack(host)
        traffic(t, host, mode, row)
      }),
    )

const elements = (host: Host, set: string): number =>
  (host.netns.exec(['nft', 'list', 'set', 'inet', 'tulle', set]).stdout.match(/"cnia"/g) ?? [])
    .length

t.test('two policies on one bridge: what each needs goes with its last pod', (t) =>
  withHost((host) => {
    const together = network(host, 'bridge', 'a', 'same-bridge')
    const alone: Json = {
      ...network(host, 'bridge', 'b', 'isolated'),
      bridge: 'cnia',
      isGateway: false,
    }
    const first = place(host, together)
    const second = place(host, alone)
    t.same([elements(host, 'fenced'), elements(host, 'solitary')], [1, 1])
    deleted(second.pod, alone)
    t.same([elements(host, 'fenced'), elements(host, 'solitary')], [1, 0])
    const third = place(host, alone)
    deleted(first.pod, together)
    t.same([elements(host, 'fenced'), elements(host, 'circles')], [1, 0])
    deleted(third.pod, alone)
    t.equal(host.netns.exec(['nft', 'list', 'ruleset']).stdout, '')
  }),
)

for (const mode of modes)
  t.test(`${mode}: CHECK misses what somebody took away, GC collects`, (t) =>
    withHost((host) => {
      const pod = host.pod()
      const conf = network(host, mode, 'a', 'same-bridge')
      const result = added(pod, conf)
      t.equal(check(pod, conf, result).code, 0)
      host.netns.exec(['nft', 'flush', 'set', 'inet', 'tulle', 'fenced'])
      t.match(refusalOf(check(pod, conf, result))?.details, /set fenced lacks/)
      host.netns.exec(['nft', 'delete', 'table', 'inet', 'tulle'])
      place(host, conf)
      t.equal(check(pod, conf, result).code, 0, 'the next ADD has put it back')
      const gc = ask('GC', host, { ...conf, 'cni.dev/valid-attachments': [] })
      t.equal(gc.code, 0, gc.stdout)
      t.equal(host.netns.exec(['nft', 'list', 'ruleset']).stdout, '')
    }),
  )
