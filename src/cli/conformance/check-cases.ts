import { parsePrefix } from '../../base/prefix.ts'
import { deleteAddress } from '../../wire/rtnl/address.ts'
import { afterAdd } from './after-add.ts'
import { type Json, refused, silent, told } from './answers.ts'
import { ifname, type Pod } from './bench.ts'
import type { Basis, Case, Findings } from './case.ts'
import { ipsOf } from './shape.ts'

type Told = { readonly name: string; readonly text: string; readonly basis?: Basis }
type Tamper = (pod: Pod, result: Json) => void

/** ADD, then something is taken from the pod, and CHECK must say so. */
const tampered = ({ name, text, basis = 'specification' }: Told, tamper: Tamper): Case => ({
  name,
  text,
  basis,
  scope: 'versions',
  since: '0.4.0',
  kinds: ['interface'],
  examine: afterAdd(({ bench, conf, pod, result }) => {
    const before = silent('CHECK before', bench.call('CHECK', pod, { ...conf, prevResult: result }))
    if (before.length > 0) return before
    tamper(pod, result)
    return refused('CHECK after', bench.call('CHECK', pod, { ...conf, prevResult: result }))
  }),
})

function removeAddress(pod: Pod, result: Json): void {
  const prefix = ipsOf(result).map(({ address }) => parsePrefix(address))[0]
  const link = pod.socket.link({ name: ifname })?.index
  if (!prefix || link === undefined) return
  const query = deleteAddress({ link, prefix, noPrefixRoute: false })
  pod.socket.run([{ what: 'delete the address', query }])
}

export const checkCases: readonly Case[] = [
  {
    name: 'check',
    text: 'CHECK right after ADD succeeds without output',
    basis: 'specification',
    scope: 'versions',
    since: '0.4.0',
    examine: afterAdd(({ bench, conf, pod, result }) =>
      silent('CHECK', bench.call('CHECK', pod, { ...conf, prevResult: result })),
    ),
  },
  {
    name: 'check-too-old',
    text: 'CHECK of a version that has none is refused with code 1',
    basis: 'runtimes',
    scope: 'versions',
    until: '0.3.1',
    examine: afterAdd(({ bench, conf, pod, result }) => {
      const answer = bench.call('CHECK', pod, { ...conf, prevResult: result })
      return refused('CHECK', answer, { codes: [1] })
    }),
  },
  {
    name: 'check-no-previous',
    text: 'CHECK without prevResult is refused',
    basis: 'specification',
    scope: 'versions',
    since: '0.4.0',
    kinds: ['interface', 'chained'],
    examine: ({ bench, version }): Findings => {
      const conf = bench.conf(version)
      const pod = bench.makePod(conf)
      const { ran } = bench.add(pod, conf)
      if (ran.code !== 0) return [`ADD: ${told(ran)}`]
      return refused('CHECK', bench.call('CHECK', pod, conf))
    },
  },
  {
    name: 'check-not-added',
    text: 'CHECK of a pod that was never added is refused',
    basis: 'specification',
    scope: 'versions',
    since: '0.4.0',
    kinds: ['interface', 'ipam', 'chained'],
    examine: ({ bench, version }): Findings => {
      const conf = bench.conf(version)
      const [pod, other] = [bench.makePod(conf), bench.makePod(conf)]
      const { ran, result } = bench.add(pod, conf)
      if (!result) return [`ADD: ${told(ran)}`]
      return refused('CHECK', bench.call('CHECK', other, { ...conf, prevResult: result }))
    },
  },
  tampered(
    { name: 'check-address-removed', text: 'CHECK finds that an address is gone' },
    removeAddress,
  ),
  tampered({ name: 'check-link-gone', text: 'CHECK finds that the interface is gone' }, (pod) => {
    pod.socket.deleteLink(ifname)
  }),
  tampered(
    { name: 'check-link-down', text: 'CHECK finds that the interface is down', basis: 'practice' },
    (pod) => {
      pod.socket.setDown(ifname)
    },
  ),
]
