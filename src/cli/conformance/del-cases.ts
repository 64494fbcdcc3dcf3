import { unlinkSync } from 'node:fs'
import { isAtLeast } from '../../cni/version.ts'
import { warmUp } from './add-cases.ts'
import { type Json, silent, told } from './answers.ts'
import type { Bench, Pod } from './bench.ts'
import type { Basis, Case, Examination, Findings } from './case.ts'

/** Takes the pod down in the way that the case is about; what is wrong with the answers. */
type TakeDown = (bench: Bench, pod: Pod, conf: Json, result: Json) => Findings

type Told = { readonly name: string; readonly text: string; readonly basis?: Basis }

/** ADD, the case's own DEL, and then nothing of the attachment may be left on the node. */
const takenDown = ({ name, text, basis = 'specification' }: Told, takeDown: TakeDown): Case => ({
  name,
  text: `${text}, and leaves nothing of the attachment`,
  basis,
  scope: 'versions',
  examine: ({ bench, version }) => {
    const conf = bench.conf(version)
    warmUp(bench, conf)
    const pod = bench.makePod(conf)
    const before = bench.picture()
    const { ran, result } = bench.add(pod, conf)
    if (!result) return [`ADD: ${told(ran)}`]
    const found = takeDown(bench, pod, conf, result)
    const left = bench.changesSince(before)
    return [...found, ...inPod(bench, pod), ...left.map((line) => `after DEL ${line}`)]
  },
})

const inPod = ({ subject }: Bench, pod: Pod): Findings =>
  subject.kind === 'interface' && pod.isThere() && pod.socket.link({ name: subject.ifname })
    ? [`after DEL link ${subject.ifname} is left in the pod`]
    : []

/** prevResult goes with DEL from 0.4.0 on. */
export const withPrevious = (conf: Json, result: Json): Json =>
  isAtLeast(conf.cniVersion as '0.4.0', '0.4.0') ? { ...conf, prevResult: result } : conf

export const delCases: readonly Case[] = [
  takenDown(
    { name: 'del', text: 'DEL with prevResult succeeds without output' },
    (bench, pod, conf, result) => silent('DEL', bench.call('DEL', pod, withPrevious(conf, result))),
  ),
  takenDown({ name: 'del-twice', text: 'DEL may be repeated' }, (bench, pod, conf, result) => [
    ...silent('first DEL', bench.call('DEL', pod, withPrevious(conf, result))),
    ...silent('second DEL', bench.call('DEL', pod, withPrevious(conf, result))),
  ]),
  takenDown({ name: 'del-no-previous', text: 'DEL needs no prevResult' }, (bench, pod, conf) =>
    silent('DEL', bench.call('DEL', pod, conf)),
  ),
  takenDown(
    {
      name: 'del-odd-previous',
      text: 'DEL lives with a prevResult that is damaged',
      basis: 'practice',
    },
    (bench, pod, conf) => {
      const prevResult = { cniVersion: conf.cniVersion, interfaces: 'damaged', ips: 7 }
      return silent('DEL', bench.call('DEL', pod, { ...conf, prevResult }))
    },
  ),
  takenDown(
    { name: 'del-netns-empty', text: 'DEL without CNI_NETNS gives back what the node has' },
    (bench, pod, conf, result) => {
      pod.close()
      const changes = { CNI_NETNS: '' }
      return silent('DEL', bench.call('DEL', pod, withPrevious(conf, result), changes))
    },
  ),
  takenDown(
    { name: 'del-netns-gone', text: 'DEL succeeds where the namespace is gone' },
    (bench, pod, conf, result) => {
      pod.close()
      unlinkSync(pod.path)
      return silent('DEL', bench.call('DEL', pod, withPrevious(conf, result)))
    },
  ),
  {
    name: 'del-unknown',
    text: 'DEL of a pod that was never added succeeds',
    basis: 'specification',
    scope: 'versions',
    examine: ({ bench, version }: Examination): Findings => {
      const conf = bench.conf(version)
      return silent('DEL', bench.call('DEL', bench.makePod(conf), conf))
    },
  },
]

/** Asked first of all, before anything is on the node. */
export const lastDelCase: Case = {
  name: 'del-last',
  text: 'DEL of the last pod leaves the node as it was before the first ADD',
  basis: 'practice',
  scope: 'once',
  kinds: ['interface', 'ipam'],
  examine: ({ bench, version }) => {
    const conf = bench.conf(version)
    const before = bench.picture()
    warmUp(bench, conf)
    return bench.changesSince(before).map((line) => `after DEL ${line}`)
  },
}
