import { test } from 'tap'
import { add } from '../../src/plugin/add.ts'
import { del } from '../../src/plugin/del.ts'
import { gc } from '../../src/plugin/gc.ts'
import { runToEnd } from '../../src/plugin/pausing.ts'
import { type Mode, netconf } from '../support/attachment.ts'
import { type Pod, withHost } from '../support/host.ts'
import { picture, watchResidue } from '../support/residue.ts'
import { callFor, Lodger } from './node.ts'

// The specification limits no name's length; an alias has room for 255 bytes, a comment for 127,
// a file of host-local's for 255.
const rows: readonly Readonly<{
  why: string
  network: number
  container: number
  ifname: string
}>[] = [
  { why: 'a comment is cut in the interface’s name', network: 58, container: 64, ifname: 'eth0' },
  { why: 'a comment is cut in the container’s name', network: 90, container: 64, ifname: 'eth0' },
  { why: 'a comment is cut in the network’s name', network: 150, container: 20, ifname: 'eth0' },
  { why: 'an alias is as long as it may be', network: 60, container: 158, ifname: 'eth0' },
  { why: 'an alias is cut in the container’s name', network: 60, container: 200, ifname: 'eth0' },
  { why: 'an alias is cut in the network’s name', network: 240, container: 64, ifname: 'eth0' },
  {
    why: 'letters of two bytes: 255 letters are 262 bytes',
    network: 100,
    container: 118,
    ifname: 'é'.repeat(7),
  },
]

/** What stays as it is while nobody works; link-local addresses come when they come. */
const lasting = ({ host, netns }: Pod): readonly string[] =>
  [host.netns, netns].flatMap(picture).filter((line) => !/fe80::|ff00::|table local/.test(line))

for (const mode of ['routed', 'bridge'] satisfies readonly Mode[])
  for (const { why, network, container, ifname } of rows)
    test(`${mode}: ${why}: added, kept by GC, removed`, async (t) =>
      withHost((host) => {
        const name = 'n'.repeat(network)
        const conf = netconf(host, { mode, families: 'dual', name, keys: { ipMasq: true } })
        const pod = { ...host.pod(ifname), container: 'c'.repeat(container) }
        const left = watchResidue(host, [pod.netns])
        const lodger = new Lodger(host.netns)
        const collect = (valid: readonly object[]): void =>
          gc(callFor(lodger, pod, 'GC', { ...conf, 'cni.dev/valid-attachments': valid }))
        try {
          t.doesNotThrow(() => runToEnd(add(callFor(lodger, pod, 'ADD', conf))))
          t.equal(pod.netns.ipJson('link', 'show', ifname).length, 1, 'the pod has its link')
          const living = lasting(pod)
          collect([{ containerID: pod.container, ifname }])
          t.strictSame(lasting(pod), living, 'nothing of a listed pod is touched')
          collect([{ containerID: `${pod.container}x`, ifname }])
          t.strictSame(left(), [], 'another’s name does not keep it')
          t.doesNotThrow(() => runToEnd(del(callFor(lodger, pod, 'DEL', conf))))
          t.strictSame(left(), [], 'DEL leaves nothing')
        } finally {
          lodger.close()
        }
      }))
