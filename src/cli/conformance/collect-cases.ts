import { warmUp } from './add-cases.ts'
import { refused, silent, succeeded, told } from './answers.ts'
import type { Bench, Pod } from './bench.ts'
import type { Case, Examination, Findings } from './case.ts'
import { onlyAddressConf, poolsUnknown } from './subject.ts'

const keyOf = ({ subject }: Bench, pod: Pod): object => ({
  containerID: pod.container,
  ifname: subject.ifname,
})

function collect(bench: Bench, { version }: Examination, valid: readonly Pod[]): Findings {
  const conf = {
    ...bench.conf(version),
    'cni.dev/valid-attachments': valid.map((pod) => keyOf(bench, pod)),
  }
  return silent('GC', bench.ask('GC', conf))
}

export const collectCases: readonly Case[] = [
  {
    name: 'gc-keeps-valid',
    text: 'GC leaves an attachment alone that is listed',
    basis: 'specification',
    scope: 'versions',
    since: '1.1.0',
    examine: (examination) => {
      const { bench, version } = examination
      const conf = bench.conf(version)
      const pod = bench.makePod(conf)
      const { ran, result } = bench.add(pod, conf)
      if (!result) return [`ADD: ${told(ran)}`]
      const before = bench.picture()
      const found = collect(bench, examination, [pod])
      const changed = bench.changesSince(before).map((line) => `after GC ${line}`)
      const check = bench.call('CHECK', pod, { ...conf, prevResult: result })
      return [...found, ...changed, ...silent('CHECK after GC', check)]
    },
  },
  {
    name: 'gc-removes-stale',
    text: 'GC removes what belongs to an attachment that is not listed',
    basis: 'specification',
    scope: 'versions',
    since: '1.1.0',
    examine: (examination) => {
      const { bench, version } = examination
      const conf = bench.conf(version)
      warmUp(bench, conf)
      // Two in a chain would ask for the same host port.
      const kept = bench.subject.kind === 'chained' ? [] : [bench.makePod(conf)]
      for (const pod of kept) bench.add(pod, conf)
      const stale = bench.makePod(conf)
      const before = bench.picture()
      const { ran } = bench.add(stale, conf)
      if (ran.code !== 0) return [`ADD: ${told(ran)}`]
      stale.close()
      const found = collect(bench, examination, kept)
      return [...found, ...bench.changesSince(before).map((line) => `after GC ${line}`)]
    },
  },
  {
    name: 'gc-frees-address',
    text: 'GC gives back the addresses of an attachment that is not listed',
    basis: 'specification',
    scope: 'versions',
    since: '1.1.0',
    examine: (examination) => {
      const { bench, version } = examination
      const conf = onlyAddressConf(bench.subject, version)
      if (!conf) return { notApplicable: poolsUnknown }
      const [stale, heir] = [bench.makePod(conf), bench.makePod(conf)]
      const first = succeeded('first ADD', bench.call('ADD', stale, conf))
      stale.close()
      const collected = bench.ask('GC', { ...conf, 'cni.dev/valid-attachments': [] })
      return [
        ...first,
        ...silent('GC', collected),
        ...succeeded('ADD of another pod after that', bench.call('ADD', heir, conf)),
      ]
    },
  },
  {
    name: 'gc-no-list',
    text: 'GC without cni.dev/valid-attachments touches nothing that lives',
    basis: 'practice',
    scope: 'versions',
    since: '1.1.0',
    examine: ({ bench, version }) => {
      const conf = bench.conf(version)
      const pod = bench.makePod(conf)
      const { ran, result } = bench.add(pod, conf)
      if (!result) return [`ADD: ${told(ran)}`]
      const before = bench.picture()
      bench.ask('GC', conf) // an error and doing nothing are both right
      const changed = bench.changesSince(before).map((line) => `after GC ${line}`)
      const check = bench.call('CHECK', pod, { ...conf, prevResult: result })
      return [...changed, ...silent('CHECK after GC', check)]
    },
  },
  {
    name: 'status',
    text: 'STATUS of a plugin that can serve ADD succeeds without output',
    basis: 'specification',
    scope: 'versions',
    since: '1.1.0',
    examine: ({ bench, version }) => silent('STATUS', bench.ask('STATUS', bench.conf(version))),
  },
  {
    name: 'status-not-json',
    text: 'STATUS with a broken configuration is refused with code 6',
    basis: 'specification',
    scope: 'versions',
    since: '1.1.0',
    examine: ({ bench }) => {
      const env = { CNI_COMMAND: 'STATUS', CNI_PATH: bench.subject.cniPath }
      return refused('STATUS', bench.run('{', env), { codes: [6] })
    },
  },
]
