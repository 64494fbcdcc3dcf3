import { writeFileSync } from 'node:fs'
import { type Json, type Refusal, refused, silent, succeeded } from './answers.ts'
import type { Bench, Pod } from './bench.ts'
import type { Basis, Case, Findings } from './case.ts'
import { difference } from './picture.ts'

// E1 to E11: the environment and standard input (specification, "Parameters"; libcni's skeleton).

type Told = { readonly name: string; readonly text: string; readonly basis?: Basis }
type Ask = (bench: Bench, pod: Pod, conf: Json) => Findings

const once = ({ name, text, basis = 'specification' }: Told, ask: Ask): Case => ({
  name,
  text,
  basis,
  scope: 'once',
  examine: ({ bench, version }) => {
    const conf = bench.conf(version)
    const pod = bench.makePod(conf)
    return ask(bench, pod, conf)
  },
})

/** As `once`; a refused ADD must have changed nothing besides. */
const harmless = (told: Told, ask: Ask): Case =>
  once(told, (bench, pod, conf) => {
    const before = bench.picture()
    const found = ask(bench, pod, conf)
    const changed = difference(before, bench.picture())
    return [...found, ...changed.map((line) => `after the call ${line}`)]
  })

type Changes = Readonly<Record<string, string | undefined>>

/** ADD with each of these environments is refused as `refusal` says. */
const refusedEach = (
  told: Told,
  refusal: Refusal,
  changes: readonly Changes[],
  verbs: readonly string[] = ['ADD'],
): Case =>
  harmless(told, (bench, pod, conf) =>
    verbs.flatMap((verb) =>
      changes.flatMap((change) =>
        refused(`${verb} with ${wordsOf(change)}`, bench.call(verb, pod, conf, change), refusal),
      ),
    ),
  )

const wordsOf = (changes: Changes): string =>
  Object.entries(changes)
    .map(([key, value]) => (value === undefined ? `no ${key}` : `${key}=${JSON.stringify(value)}`))
    .join(' ')

const each = (key: string, values: readonly string[]): readonly Changes[] =>
  values.map((value) => ({ [key]: value }))

const invalidEnvironment = { codes: [4] }
const podVerbs = ['ADD', 'CHECK', 'DEL']

export const environmentCases: readonly Case[] = [
  once(
    {
      name: 'no-command',
      text: 'Without an environment it says what it is, or is refused with code 4',
      basis: 'runtimes',
    },
    (bench) => {
      const ran = bench.run('', {})
      return ran.code === 0 ? silent('no environment', ran) : refused('', ran, invalidEnvironment)
    },
  ),
  refusedEach(
    {
      name: 'command-unknown',
      text: 'An unknown CNI_COMMAND is refused with code 4 and the words libcni looks for',
      basis: 'runtimes',
    },
    { codes: [4], names: ['unknown CNI_COMMAND: NONSENSE'] },
    [{ CNI_COMMAND: 'NONSENSE' }],
  ),
  refusedEach(
    { name: 'container-missing', text: 'CNI_CONTAINERID is required: code 4 and its name' },
    { codes: [4], names: ['CNI_CONTAINERID'] },
    [{ CNI_CONTAINERID: undefined }],
    podVerbs,
  ),
  refusedEach(
    { name: 'container-bad', text: 'CNI_CONTAINERID has to have its form: code 4' },
    invalidEnvironment,
    each('CNI_CONTAINERID', ['-starts-with-dash', '../escape', 'has blank', 'slash/es', 'ümlaut']),
  ),
  refusedEach(
    { name: 'ifname-missing', text: 'CNI_IFNAME is required: code 4 and its name' },
    { codes: [4], names: ['CNI_IFNAME'] },
    [{ CNI_IFNAME: undefined }],
    podVerbs,
  ),
  refusedEach(
    { name: 'ifname-bad', text: 'CNI_IFNAME has to be a name that the kernel takes: code 4' },
    invalidEnvironment,
    each('CNI_IFNAME', ['sixteen-letters0', '.', '..', 'slash/es', 'co:lon', 'has blank']),
  ),
  refusedEach(
    { name: 'netns-missing', text: 'CNI_NETNS is required for ADD and CHECK: code 4 and its name' },
    { codes: [4], names: ['CNI_NETNS'] },
    [{ CNI_NETNS: undefined }],
    ['ADD', 'CHECK'],
  ),
  refusedEach(
    { name: 'several-missing', text: 'All that is missing is told at once', basis: 'runtimes' },
    { codes: [4], names: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'] },
    [{ CNI_CONTAINERID: undefined, CNI_NETNS: undefined, CNI_IFNAME: undefined }],
  ),
  once(
    {
      name: 'path-missing',
      text: 'Without CNI_PATH it works, or is refused with code 4',
      basis: 'runtimes',
    },
    (bench, pod, conf) => {
      const ran = bench.call('ADD', pod, conf, { CNI_PATH: undefined })
      return ran.code === 0 ? [] : refused('ADD', ran, { codes: [4], names: ['CNI_PATH'] })
    },
  ),
  once(
    {
      name: 'args-unknown',
      text: 'Unknown CNI_ARGS pass with IgnoreUnknown, which may stand anywhere',
      basis: 'runtimes',
    },
    (bench, pod, conf) =>
      ['IgnoreUnknown=1;K8S_POD_NAME=a;ODD=1', 'ODD=1;K8S_POD_NAME=a;IgnoreUnknown=true'].flatMap(
        (CNI_ARGS) => {
          const ran = bench.call('ADD', pod, conf, { CNI_ARGS })
          bench.call('DEL', pod, pod.previous ? { ...conf, prevResult: pod.previous } : conf)
          return succeeded(`ADD with CNI_ARGS=${CNI_ARGS}`, ran)
        },
      ),
  ),
  once(
    { name: 'trace-context', text: 'W3C trace context in the environment does no harm' },
    (bench, pod, conf) => {
      const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
      const env = { TRACEPARENT, TRACESTATE: 'a=b', BAGGAGE: 'c=d' }
      return succeeded('ADD', bench.call('ADD', pod, conf, env))
    },
  ),
  once(
    {
      name: 'keys-of-runtimes',
      text: 'Keys that runtimes leave in a configuration, and unknown ones, do no harm',
      basis: 'runtimes',
    },
    (bench, pod, conf) => {
      const more = { capabilities: { portMappings: true }, runtimeConfig: {}, args: {}, odd: [1] }
      return succeeded('ADD', bench.call('ADD', pod, { ...conf, ...more }))
    },
  ),
  harmless(
    { name: 'input-not-json', text: 'A configuration that is not JSON is refused with code 6' },
    (bench, pod) =>
      ['', '{', 'nonsense'].flatMap((text) =>
        refused(`ADD of ${JSON.stringify(text)}`, bench.call('ADD', pod, text), { codes: [6] }),
      ),
  ),
  harmless(
    {
      name: 'name-bad',
      text: 'A configuration without a name, or with a malformed one, is refused with code 7',
      basis: 'runtimes',
    },
    (bench, pod, conf) =>
      [undefined, '', '-dash', '../escape', 'has blank'].flatMap((name) => {
        const ran = bench.call('ADD', pod, { ...conf, name })
        return refused(`ADD with name ${JSON.stringify(name)}`, ran, { codes: [7] })
      }),
  ),
  harmless(
    { name: 'version-unknown', text: 'A cniVersion that it does not know is refused with code 1' },
    (bench, pod, conf) =>
      refused('ADD', bench.call('ADD', pod, { ...conf, cniVersion: '99.0.0' }), { codes: [1] }),
  ),
  {
    ...harmless(
      { name: 'netns-none', text: 'A CNI_NETNS that is no namespace is refused' },
      (bench, pod, conf) => {
        writeFileSync('/run/no-namespace', '')
        return ['/run/no-namespace', '/run/netns/absent'].flatMap((CNI_NETNS) => {
          const ran = bench.call('ADD', pod, conf, { CNI_NETNS })
          return refused(`ADD with CNI_NETNS=${CNI_NETNS}`, ran)
        })
      },
    ),
    kinds: ['interface'],
  },
]

/** Asked last of all: a plugin that does it leaves the node with a pod's interface. */
export const ownNetnsCase: Case = {
  ...harmless(
    { name: 'netns-own', text: "The node's own namespace is refused", basis: 'runtimes' },
    (bench, pod, conf) =>
      refused('ADD', bench.call('ADD', pod, conf, { CNI_NETNS: bench.node.path })),
  ),
  kinds: ['interface'],
}
