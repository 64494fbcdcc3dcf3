import { afterAdd } from './after-add.ts'
import { isJson, type Json, refused, succeeded } from './answers.ts'
import type { Case, Findings } from './case.ts'
import { withPrevious } from './del-cases.ts'
import { destinationsOf, ipsOf } from './shape.ts'

const chained = { basis: 'specification', scope: 'versions', kinds: ['chained'] } as const

/** Addresses, routes and links of a result, a line each. */
const partsOf = (result: Json): readonly string[] => [
  ...ipsOf(result).map(({ address }) => `address ${address}`),
  ...destinationsOf(result).map((destination) => `route to ${destination}`),
  ...(Array.isArray(result.interfaces) ? result.interfaces : [])
    .filter(isJson)
    .map(({ name, sandbox }) => `interface ${name}${sandbox ? ' in the pod' : ' on the node'}`),
]

/** Rules of a plugin that stands behind another one. */
export const chainedCases: readonly Case[] = [
  {
    ...chained,
    name: 'result-passed-on',
    text: 'ADD answers with all that the plugin before it has told',
    examine: afterAdd(({ pod, result }) => {
      const parts = partsOf(result)
      return partsOf(pod.previous ?? {})
        .filter((part) => !parts.includes(part))
        .map((part) => `${part} of prevResult is not in the result`)
    }),
  },
  {
    ...chained,
    name: 'first-in-chain',
    text: 'ADD without a prevResult is refused, and leaves nothing',
    basis: 'runtimes',
    examine: ({ bench, version }): Findings => {
      const conf = bench.conf(version)
      const pod = bench.makePod(conf)
      const before = bench.picture()
      const answer = refused('ADD', bench.call('ADD', { ...pod, previous: undefined }, conf))
      return [...answer, ...bench.changesSince(before).map((line) => `after ADD ${line}`)]
    },
  },
  {
    ...chained,
    name: 'del-link-gone',
    text: 'DEL succeeds where the interface is gone already',
    examine: afterAdd(({ bench, conf, pod, result }) => {
      pod.socket.deleteLink(bench.subject.ifname)
      return succeeded('DEL', bench.call('DEL', pod, withPrevious(conf, result)))
    }),
  },
]
