import type { Prefix } from '../base/prefix.ts'
import {
  connectionLabels,
  dataMap,
  destinationNat,
  differs,
  type Expression,
  immediate,
  labelConnection,
  lookup,
  mask,
  masquerade,
  meta,
  payload,
  register,
  verdict,
} from '../wire/nft/expression.ts'
import type { KeyType } from '../wire/nft/set.ts'
import type { Rule } from '../wire/nft/table.ts'
import { hostPortSets } from './host-ports.ts'
import {
  addressField,
  destinationPort,
  ifnameBytes,
  isFamily,
  isIn,
  isThisNode,
} from './packet-match.ts'

// Ports of the host that lead to pods. Rules are the same for any number of ports: one look-up in a
// map. nat chains see the first packet of a connection alone.

const families = [4, 6] as const
type Family = (typeof families)[number]
const addressType = (family: Family): KeyType => (family === 4 ? 'ipv4_addr' : 'ipv6_addr')

export const hostPortSetShapes = families.flatMap((family) => {
  const service = ['inet_proto', 'inet_service'] as const
  const address = addressType(family)
  const value = [address, 'inet_service'] as const
  return [
    { set: hostPortSets.any(family), key: service, verdicts: false, value },
    { set: hostPortSets.bound(family), key: [address, ...service], verdicts: false, value },
    { set: hostPortSets.returning(family), key: ['ifname', address] as const, verdicts: false },
    { set: hostPortSets.itself(family), key: [address, address], verdicts: false },
    { set: hostPortSets.all(family), key: [address], verdicts: false },
  ]
})

/**
 * Behind dstnat (-100), where kube-proxy and others are: no earlier rule is overtaken
 * (CVE-2019-9946).
 */
export const hostPortPriority = -90

/** Only what is sent to an address of this host is translated (CVE-2025-67499). */
export const toHostRules = (): readonly Rule[] => [
  {
    comment: 'to an address of this host',
    expressions: [...isThisNode('destination'), verdict({ jump: hostPortChain })],
  },
]

/**
 * Conntrack label 127 marks connections that these rules translate: the masquerade below is for
 * them, and not for those that somebody else (a service proxy) leads to the same pod.
 */
const label = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80)
const free = register(8)

const wordsOf = (family: Family): number => (family === 4 ? 1 : 4)

/** Protocol and port are loaded from this register on, and sought with what is before them. */
const forward = (family: Family, set: string, word: number): readonly Expression[] => [
  meta('l4proto', register(word)),
  payload(destinationPort, register(word + 1)),
  dataMap(set, register(0), register(0)),
  immediate(free, label),
  labelConnection(free),
  destinationNat(family, { address: register(0), port: register(wordsOf(family)) }),
]

export const hostPortChain = 'host-ports'

export const hostPortRules = (): readonly Rule[] =>
  families.flatMap((family) => [
    {
      comment: `ports of one IPv${family} address`,
      expressions: [
        ...isFamily(family),
        payload(addressField(family, 'destination'), register(0)),
        ...forward(family, hostPortSets.bound(family), wordsOf(family)),
      ],
    },
    {
      comment: `ports of every IPv${family} address`,
      expressions: [...isFamily(family), ...forward(family, hostPortSets.any(family), 0)],
    },
  ])

/** Before the masquerade of pods: first of the postrouting rules. */
export const translatedRules = (): readonly Rule[] => [
  {
    comment: 'to a pod through a port of this host',
    expressions: [
      connectionLabels(register(0)),
      mask(register(0), label),
      differs(register(0), new Uint8Array(label.length)),
      verdict({ jump: translatedChain }),
    ],
  },
]

export const translatedChain = 'through-host-ports'

/** Whose answers would not come back through this host, unless it is it that asks. */
export const throughHostPortRules = (): readonly Rule[] =>
  families.flatMap((family) => {
    const isTo = (way: 'iifname' | 'oifname'): readonly Expression[] => [
      meta(way, register(0)),
      payload(addressField(family, 'destination'), register(4)),
      lookup(hostPortSets.returning(family), register(0)),
      masquerade(),
    ]
    return [
      {
        comment: `IPv${family}: from behind the link that it goes to`,
        expressions: [...isFamily(family), ...isTo('iifname')],
      },
      {
        // br_netfilter's postrouting does not say where a packet came in.
        comment: `IPv${family}: from the pod itself`,
        expressions: [
          ...isFamily(family),
          payload(addressField(family, 'source'), register(0)),
          payload(addressField(family, 'destination'), register(wordsOf(family))),
          lookup(hostPortSets.itself(family), register(0)),
          masquerade(),
        ],
      },
      {
        comment: `IPv${family}: from the host's loopback address`,
        expressions: [
          ...isFamily(family),
          ...isIn(addressField(family, 'source'), loopback[family]),
          ...isTo('oifname'),
        ],
      },
      {
        comment: `IPv${family}: from anybody (masqAll)`,
        expressions: [
          ...isFamily(family),
          payload(addressField(family, 'destination'), register(0)),
          lookup(hostPortSets.all(family), register(0)),
          masquerade(),
        ],
      },
    ]
  })

const loopback: Readonly<Record<Family, Prefix>> = {
  4: { address: { family: 4, value: 0x7f000000n }, bits: 8 },
  6: { address: { family: 6, value: 1n }, bits: 128 },
}

/**
 * First of all rules: a link with route_localnet, which host ports of 127.0.0.1 need, would let
 * pods and neighbours at what listens on the host's loopback alone (CVE-2020-8558).
 */
export const loopbackRules = (): readonly Rule[] => [
  {
    comment: 'to a loopback address, from outside (CVE-2020-8558)',
    expressions: [
      ...isFamily(4),
      ...isIn(addressField(4, 'destination'), loopback[4]),
      meta('iifname', register(0)),
      differs(register(0), ifnameBytes('lo')),
      verdict('drop'),
    ],
  },
]
