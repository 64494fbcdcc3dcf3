import t, { type Test } from 'tap'
import {
  addressesOf,
  attachLater,
  type Families,
  type Mode,
  modes,
  netconf,
  type PodVerb,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import type { Ran } from '../support/netns.ts'
import { watchResidue } from '../support/residue.ts'

t.setTimeout(600_000)

const atOnce = 200

const network = (host: Host, mode: Mode, of: Families): Json =>
  netconf(host, { mode, families: of, keys: { ipMasq: true } })

async function allAtOnce(verb: PodVerb, pods: readonly Pod[], conf: Json): Promise<readonly Ran[]> {
  return Promise.all(pods.map((pod) => attachLater(verb, pod, conf)))
}

function expectAll(t: Test, ran: readonly Ran[], what: string): void {
  const failed = ran.filter(({ code }) => code !== 0)
  t.same(
    failed.map(({ stdout, stderr }) => stdout + stderr),
    [],
    what,
  )
}

for (const [mode, of] of [
  ['routed', 'dual'],
  ['bridge', 'v4'],
] as const) {
  t.test(`${mode}: ${atOnce} ADDs at once, then as many DELs`, (t) =>
    withHost(async (host) => {
      const conf = network(host, mode, of)
      const pods = Array.from({ length: atOnce }, () => host.pod())
      const left = watchResidue(host, [])
      const ran = await allAtOnce('ADD', pods, conf)
      expectAll(t, ran, 'every ADD succeeds')
      const good = ran.filter(({ code }) => code === 0)
      const all = good.flatMap(({ stdout }) => addressesOf(JSON.parse(stdout)))
      t.equal(new Set(all).size, atOnce * (of === 'dual' ? 2 : 1), 'no address twice')
      expectAll(t, await allAtOnce('DEL', pods, conf), 'every DEL succeeds')
      t.same(left(), [], 'nothing is left')
    }),
  )
}

/**
 * Tables and the bridge go with the last attachment: a pod that comes at that very moment must not
 * lose them. Each pod comes and goes many times, so first and last happen all the time.
 */
async function comeAndGo(t: Test, host: Host, mode: Mode): Promise<void> {
  const conf = network(host, mode, 'dual')
  const pods = [host.pod(), host.pod(), host.pod()]
  const left = watchResidue(
    host,
    pods.map(({ netns }) => netns),
  )
  const faults: string[] = []
  await Promise.all(
    pods.map(async (pod) => {
      for (let round = 0; round < 15; round += 1) {
        const ran = await attachLater('ADD', pod, conf)
        if (ran.code !== 0) {
          faults.push(`round ${round}: ADD: ${ran.stdout}`)
          continue
        }
        const asked = { ...conf, prevResult: JSON.parse(ran.stdout) }
        const checked = await attachLater('CHECK', pod, asked)
        if (checked.code !== 0) faults.push(`round ${round}: CHECK: ${checked.stdout}`)
        const gone = await attachLater('DEL', pod, asked)
        if (gone.code !== 0) faults.push(`round ${round}: DEL: ${gone.stdout}`)
      }
    }),
  )
  t.same(faults, [])
  t.same(left(), [])
}

for (const mode of modes) {
  t.test(`${mode}: pods that come and go while others do`, (t) =>
    withHost((host) => comeAndGo(t, host, mode)),
  )
}

t.test('the same pod twice at once: one ADD wins, the other is told', (t) =>
  withHost(async (host) => {
    for (const mode of modes) {
      const conf = { ...network(host, mode, 'dual'), name: mode }
      const pod = host.pod()
      const left = watchResidue(host, [pod.netns])
      const ran = await Promise.all([1, 2, 3, 4].map(() => attachLater('ADD', pod, conf)))
      t.equal(ran.filter(({ code }) => code === 0).length, 1, mode)
      const winner = ran.find(({ code }) => code === 0)
      const asked = { ...conf, prevResult: JSON.parse(winner?.stdout ?? 'null') }
      t.equal((await attachLater('CHECK', pod, asked)).code, 0, 'and the winner is whole')
      const gone = await Promise.all([1, 2, 3].map(() => attachLater('DEL', pod, conf)))
      t.ok(
        gone.every(({ code }) => code === 0),
        'DEL many times at once',
      )
      t.same(left(), [], mode)
    }
  }),
)
