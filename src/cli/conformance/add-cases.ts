import { parseMac } from '../../base/mac.ts'
import { formatPrefix, parsePrefix, samePrefix } from '../../base/prefix.ts'
import { isAtLeast } from '../../cni/version.ts'
import { IFF_UP, newVeth } from '../../wire/rtnl/link.ts'
import { type Json, refused, succeeded, told } from './answers.ts'
import { type Bench, ifname, type Pod } from './bench.ts'
import type { Case, Examination, Findings, NotApplicable } from './case.ts'
import { difference, podLines } from './picture.ts'
import { destinationsOf, interfaceFindings, ipsOf, shapeFindings } from './shape.ts'
import { type Families, onlyAddressConf, poolsUnknown } from './subject.ts'

const added = (families: Families, what: string): Case => ({
  name: families === 'given' ? 'add' : `add-${families}`,
  text: `ADD gives the pod ${what}, and a result of its version's form`,
  basis: 'specification',
  scope: 'versions',
  examine: (examination) => examineAdd(examination, families),
})

export const addCases: readonly Case[] = [
  added('ipv4', 'an IPv4 address'),
  added('ipv6', 'an IPv6 address'),
  added('dual', 'an address of each family'),
  added('given', 'what the configuration says'),
  {
    name: 'add-twice',
    text: 'ADD of an attachment that is there is refused, and what is there stays',
    basis: 'specification',
    scope: 'versions',
    kinds: ['interface'],
    examine: addTwice,
  },
  {
    name: 'add-name-taken',
    text: 'ADD is refused where the pod has an interface of that name, and leaves nothing',
    basis: 'specification',
    scope: 'versions',
    kinds: ['interface'],
    examine: addNameTaken,
  },
  {
    name: 'address-given-back',
    text: 'the only address of a pool can be had again after DEL',
    basis: 'specification',
    scope: 'versions',
    examine: addressGivenBack,
  },
  {
    name: 'add-pool-empty',
    text: 'ADD on an empty pool is refused, and leaves nothing even before DEL',
    basis: 'practice',
    scope: 'versions',
    examine: addPoolEmpty,
  },
]

const madeHere = 'the configuration is made here, one for each choice of families'
const givenToUs = 'the configuration is given, and of whatever families it is'

function examineAdd({ bench, version }: Examination, families: Families): Findings | NotApplicable {
  if (!bench.subject.families.includes(families))
    return { notApplicable: families === 'given' ? madeHere : givenToUs }
  const pod = bench.makePod(bench.conf(version, families))
  const { ran, result } = bench.add(pod, bench.conf(version, families))
  if (!result) return [`ADD: ${told(ran)}`]
  const shape = shapeFindings(result, version)
  const counts = familyFindings(result, families)
  if (bench.subject.kind === 'ipam') return [...shape, ...counts]
  const own = bench.subject.ifname
  const links = isAtLeast(version, '0.3.0')
    ? interfaceFindings(result, { path: pod.path, ifname: own })
    : []
  return [...shape, ...counts, ...links, ...podFindings(pod, own, result)]
}

function familyFindings(result: Json, families: Families): Findings {
  const found = ipsOf(result).map(({ address }) => parsePrefix(address)?.address.family)
  const wanted = { ipv4: [4], ipv6: [6], dual: [4, 6], given: [] }[families]
  return wanted
    .filter((family) => !found.includes(family as 4 | 6))
    .map((family) => `the result has no IPv${family} address`)
}

/** What the result says and the pod's namespace does not show. */
function podFindings(pod: Pod, own: string, result: Json): Findings {
  const link = pod.socket.link({ name: own })
  if (!link) return [`the pod has no interface ${own}`]
  const there = pod.socket.addresses(link.index)
  const missing = ipsOf(result).filter(({ address }) => {
    const prefix = parsePrefix(address)
    return !prefix || !there.some((one) => samePrefix(one, prefix))
  })
  const routes = [...pod.socket.routes(4), ...pod.socket.routes(6)].map(({ destination }) =>
    formatPrefix(destination),
  )
  const noWay = destinationsOf(result).filter((dst) => !routes.includes(dst))
  return [
    ...((link.flags & IFF_UP) === 0 ? [`${own} is down`] : []),
    ...missing.map(({ address }) => `${own} does not have ${address}`),
    ...noWay.map((dst) => `the pod has no route to ${dst}`),
  ]
}

function addTwice({ bench, version }: Examination): Findings {
  const conf = bench.conf(version)
  const pod = bench.makePod(conf)
  const first = bench.add(pod, conf)
  if (!first.result) return [`ADD: ${told(first.ran)}`]
  const before = [...bench.picture(), ...podLines(pod.socket)]
  const again = refused('second ADD', bench.call('ADD', pod, conf))
  const changed = difference(before, [...bench.picture(), ...podLines(pod.socket)])
  return [...again, ...changed.map((line) => `after the second ADD ${line}`)]
}

const takenMac = parseMac('02:00:5e:00:53:aa')
const peerMac = parseMac('02:00:5e:00:53:ab')

/** A veth of ours that has the pod's name before the plugin comes. */
export function takeName(bench: Bench, pod: Pod): void {
  if (!takenMac || !peerMac) return
  const query = newVeth({
    host: { name: `taken${pod.container.replace(/\D/g, '')}`, mac: peerMac },
    pod: { name: ifname, mac: takenMac, netnsFd: pod.netnsFd },
    mtuBytes: 1500,
  })
  bench.node.socket.run([{ what: `make a ${ifname} beforehand`, query }])
}

function addNameTaken({ bench, version }: Examination): Findings {
  const conf = bench.conf(version)
  warmUp(bench, conf)
  const pod = bench.makePod(conf)
  takeName(bench, pod)
  const before = [...bench.picture(), ...podLines(pod.socket)]
  const answer = refused('ADD', bench.call('ADD', pod, conf))
  const changed = difference(before, [...bench.picture(), ...podLines(pod.socket)])
  return [...answer, ...changed.map((line) => `after the refused ADD ${line}`)]
}

/** What all pods share (a bridge, base chains) is made by the first. */
export function warmUp(bench: Bench, conf: Json): void {
  const pod = bench.makePod(conf)
  bench.add(pod, conf)
  bench.call('DEL', pod, conf)
}

function addressGivenBack({ bench, version }: Examination): Findings | NotApplicable {
  const conf = onlyAddressConf(bench.subject, version)
  if (!conf) return { notApplicable: poolsUnknown }
  const [first, second] = [bench.makePod(conf), bench.makePod(conf)]
  const found = [
    ...succeeded('first ADD', bench.call('ADD', first, conf)),
    ...refused('ADD of another pod on the empty pool', bench.call('ADD', second, conf)),
  ]
  // A runtime has to DEL what failed before it tries again.
  bench.call('DEL', second, conf)
  return [
    ...found,
    ...succeeded('DEL of the first', bench.call('DEL', first, conf)),
    ...succeeded('ADD of another pod after that', bench.call('ADD', second, conf)),
  ]
}

function addPoolEmpty({ bench, version }: Examination): Findings | NotApplicable {
  const conf = onlyAddressConf(bench.subject, version)
  if (!conf) return { notApplicable: poolsUnknown }
  const [holder, pod] = [bench.makePod(conf), bench.makePod(conf)]
  const first = succeeded('first ADD', bench.call('ADD', holder, conf))
  const before = [...bench.picture(), ...podLines(pod.socket)]
  const answer = refused('ADD on the empty pool', bench.call('ADD', pod, conf))
  const changed = difference(before, [...bench.picture(), ...podLines(pod.socket)])
  return [...first, ...answer, ...changed.map((line) => `after the refused ADD ${line}`)]
}
