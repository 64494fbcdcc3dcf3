import type { Test } from 'tap'
import { add } from '../../src/plugin/add.ts'
import { del } from '../../src/plugin/del.ts'
import { runToEnd } from '../../src/plugin/pausing.ts'
import { type Families, type Mode, netconf } from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import { watchResidue } from '../support/residue.ts'
import { makingIn, nameOf, withImpossible } from './messages.ts'
import { callFor, Lodger, type Tap } from './node.ts'

type Scene = Readonly<{ host: Host; pod: Pod; conf: Json }>

/** ADD in this process; what it threw, if it did. */
function attempt({ host, pod, conf }: Scene, tap?: Tap): unknown {
  const lodger = new Lodger(host.netns, tap)
  try {
    runToEnd(add(callFor(lodger, pod, 'ADD', conf)))
    return undefined
  } catch (refusal) {
    return refusal
  } finally {
    lodger.close()
  }
}

function remove({ host, pod, conf }: Scene): void {
  const lodger = new Lodger(host.netns)
  try {
    runToEnd(del(callFor(lodger, pod, 'DEL', conf)))
  } finally {
    lodger.close()
  }
}

/** Every message of an ADD by which something is made, in order. */
function countMaking(scene: Scene): readonly string[] {
  const made: string[] = []
  const refusal = attempt(scene, (bytes, protocol) => {
    made.push(...makingIn(bytes, protocol).map(nameOf))
    return bytes
  })
  if (refusal !== undefined) throw refusal
  return made
}

/** Makes the message with this number impossible, once. */
function impossibleAt(number: number): Tap {
  let seen = 0
  return (bytes, protocol) => {
    const making = makingIn(bytes, protocol)
    const place = making[number - seen]
    seen += making.length
    return place === undefined ? bytes : withImpossible(bytes, place)
  }
}

/** Rules and sets of one batch stand or fall together: the first and the last of a run will do. */
const isWorthIt = (made: readonly string[], at: number): boolean =>
  !['rule', 'set', 'chain', 'element'].includes(made[at] ?? '') ||
  made[at] !== made[at - 1] ||
  made[at] !== made[at + 1]

type Neighbour = 'alone' | 'beside another pod'
type Wanted = Readonly<{ mode: Mode; families: Families; beside: Neighbour }>

/** So that one residue is not told of again and again. */
function sweep(scene: Scene, { beside }: Wanted): void {
  remove(scene)
  if (beside === 'alone') scene.host.netns.exec(['ip', 'link', 'del', 'cni0'])
}

/** For each step of an ADD: if that one is impossible, nothing is left of the others. */
export async function undoEverywhere(t: Test, wanted: Wanted): Promise<void> {
  const { mode, families, beside } = wanted
  await withHost((host) => {
    const conf = netconf(host, { mode, families, keys: { ipMasq: true } })
    const scene = { host, pod: host.pod(), conf }
    const other = { host, pod: host.pod(), conf }
    // the first pod of a node switches forwarding on, which stays on
    attempt(other)
    if (beside === 'alone') remove(other)
    const left = watchResidue(host, [scene.pod.netns, other.pod.netns])
    const made = countMaking(scene)
    remove(scene)
    t.strictSame(left(), [], 'an ADD and a DEL leave nothing')
    t.ok(made.length >= 8, `${made.length} messages: ${made.join(' ')}`)
    for (const [at, name] of made.entries()) {
      if (!isWorthIt(made, at)) continue
      const refusal = attempt(scene, impossibleAt(at))
      // what is refused once of the rules and chains may go well at the next attempt
      const isRepeated = ['rule', 'chain', 'element'].includes(name)
      if (refusal === undefined) remove(scene)
      t.ok(refusal !== undefined || isRepeated, `${at}, ${name}: ADD is refused`)
      const residue = left()
      t.strictSame(residue, [], `${at}, ${name}: nothing is left`)
      if (residue.length > 0) sweep(scene, wanted)
    }
  })
}
