import fc from 'fast-check'
import { test } from 'tap'
import { addressKey, formatAddress, parseAddress } from '../../src/base/address.ts'
import { sameValue } from '../../src/base/same-value.ts'
import { podKey } from '../../src/cluster/pod.ts'
import { compile, emptyMemo, type PolicyState } from '../../src/policy/compile.ts'
import {
  firstPodIdentity,
  type Identity,
  type Profile,
  type Program,
  type Reach,
} from '../../src/policy/program.ts'
import { holds } from '../base/law.ts'
import { clusterOf, namespace, np, pod } from './objects.ts'
import { asAny, inMode, mode, type Parts, podOf, podParts } from './random.ts'
import { stateOf } from './states.ts'

/** Numbers in the order of the addresses that have them: which ones they are is nobody's matter. */
function renumbered({ identities, subjects, profiles }: Program): Program {
  const sorted = [...identities].sort(([left], [right]) => (keyOf(left) < keyOf(right) ? -1 : 1))
  const numbers = new Map<Identity, Identity>()
  const numberOf = (identity: Identity): Identity => {
    if (identity < firstPodIdentity) return identity
    const known = numbers.get(identity) ?? firstPodIdentity + numbers.size
    numbers.set(identity, known)
    return known
  }
  const texts = sorted.map(([text, identity]) => [text, numberOf(identity)] as const)
  const reachOf = (reach: Reach): Reach => ({
    ...reach,
    identities: new Map(
      [...reach.identities].map(([identity, spans]) => {
        const isLiving = identity < firstPodIdentity || numbers.has(identity)
        if (!isLiving) throw new Error(`Cannot find the pods of identity ${identity}`)
        return [numberOf(identity), spans]
      }),
    ),
  })
  const bare = (profile: Omit<Profile, 'audit'>): Omit<Profile, 'audit'> => ({
    ...profile,
    allows: reachOf(profile.allows),
    denies: profile.denies.map((one) => ({ ...one, reach: reachOf(one.reach) })),
  })
  return {
    identities: new Map(texts),
    subjects,
    profiles: new Map(
      [...profiles].map(([name, { audit, ...profile }]) => [
        name,
        { ...bare(profile), ...(audit ? { audit: bare(audit) } : {}) },
      ]),
    ),
  }
}

const keyOf = (text: string): string => {
  const address = parseAddress(text)
  return address ? addressKey(address) : text
}

// What may happen to a cluster: each is done to an empty one first, and then to what there is.

type Objects = {
  readonly pods: Map<number, object>
  readonly policies: Map<number, object>
  readonly spaces: Map<string, object>
}
type Event = (objects: Objects) => void

const place = fc.integer({ min: 0, max: 5 })
const spaceLabels = fc.constantFrom({}, { app: 'a' }, { tier: 'g' }, { app: 'b', tier: 'g' })
const event = fc.oneof(
  fc.tuple(place, podParts).map(
    ([at, parts]): Event =>
      ({ pods }) =>
        pods.set(at, podOf({ ...parts, isDone: parts.isDone && at > 3 }, at)),
  ),
  place.map(
    (at): Event =>
      ({ pods }) =>
        pods.delete(at),
  ),
  fc.tuple(place, asAny).map(
    ([at, make]): Event =>
      ({ policies }) =>
        policies.set(at, make(at)),
  ),
  place.map(
    (at): Event =>
      ({ policies }) =>
        policies.delete(at),
  ),
  fc.tuple(fc.constantFrom('x', 'y'), spaceLabels, mode).map(
    ([name, labels, word]): Event =>
      ({ spaces }) =>
        spaces.set(name, inMode(namespace(name, labels), word)),
  ),
)

/** Objects that did not change are the same values as in the state before. */
function stateAfter({ pods, policies, spaces }: Objects, before: PolicyState): PolicyState {
  const cluster = clusterOf(...spaces.values(), ...pods.values(), ...policies.values())
  const state = stateOf(cluster, 'n1')
  const known = [...before.pods.values()]
  const podNow = (pod: (typeof known)[number]) => known.find((one) => sameValue(one, pod)) ?? pod
  return {
    ...state,
    pods: new Map([...state.pods].map(([key, pod]) => [key, podNow(pod)])),
    namespaces: new Map(
      [...state.namespaces].map(([name, one]) => {
        const old = before.namespaces.get(name)
        return [name, old && sameValue(old, one) ? old : one]
      }),
    ),
    policies: new Map(
      [...state.policies].map(([key, list]) => {
        const old = before.policies.get(key)
        return [key, old && sameValue(old, list) ? old : list]
      }),
    ),
    local: new Map(
      [...state.local].map(([text, { address, pod }]) => [
        text,
        { address, pod: pod && podNow(pod) },
      ]),
    ),
  }
}

const emptyObjects = (): Objects => ({ pods: new Map(), policies: new Map(), spaces: new Map() })

/** A cluster with something of everything, then rounds of changes, each of one compile. */
const beginning = fc
  .tuple(
    fc.array(podParts, { minLength: 6, maxLength: 6 }),
    fc.array(asAny, { minLength: 3, maxLength: 6 }),
  )
  .map(([parts, makers]): Event[] => [
    ({ pods }) => {
      for (const [at, one] of parts.entries()) pods.set(at, podOf({ ...one, isDone: false }, at))
    },
    ({ policies }) => {
      for (const [at, make] of makers.entries()) policies.set(at, make(at))
    },
  ])
const changes = fc
  .tuple(
    beginning,
    fc.array(fc.array(event, { minLength: 1, maxLength: 3 }), { minLength: 4, maxLength: 10 }),
  )
  .map(([first, rounds]) => [first, ...rounds])

test('law: P12 P46 P47 after any changes the program is the one made from scratch', async (t) =>
  holds(
    t,
    fc.property(changes, (rounds) => {
      const objects = emptyObjects()
      const memo = emptyMemo()
      let state = stateAfter(objects, stateOf(clusterOf(), 'n1'))
      return rounds.every((events) => {
        for (const change of events) change(objects)
        state = stateAfter(objects, state)
        const program = compile(state, memo)
        const scratch = compile(state, emptyMemo())
        return sameValue(renumbered(program), renumbered(scratch))
      })
    }),
    200,
  ))

test('law: what did not change is the same object, and numbers stay with their pods', async (t) =>
  holds(
    t,
    fc.property(changes, (rounds) => {
      const objects = emptyObjects()
      const memo = emptyMemo()
      let state = stateAfter(objects, stateOf(clusterOf(), 'n1'))
      let before = compile(state, memo)
      return rounds.every((events) => {
        for (const change of events) change(objects)
        state = stateAfter(objects, state)
        const program = compile(state, memo)
        const isKept = [...program.profiles].every(([name, profile]) => {
          const old = before.profiles.get(name)
          return old === undefined || old === profile || !sameValue(old, profile)
        })
        const isStill = compile(state, memo) === program
        before = program
        return isKept && isStill
      })
    }),
    100,
  ))

test('P47 pods that are gone are in no set, whatever else stays', (t) => {
  const memo = emptyMemo()
  const closed = [
    pod('x/target', { ip: '10.0.0.9', spec: { nodeName: 'n1' } }),
    np('x/p', { ingress: [{ from: [{ podSelector: { matchLabels: { app: 'a' } } }] }] }),
  ]
  const from = pod('x/a', { ip: '10.0.0.1', labels: { app: 'a' } })
  const peers = (...objects: readonly object[]) => {
    const { profiles } = compile(stateOf(clusterOf(...closed, ...objects), 'n1'), memo)
    return [...profiles.values()].map(({ allows }) => allows.identities.size)
  }
  t.same(peers(from), [1])
  t.same(peers(), [0])
  t.end()
})

test('a pod that nothing new tells apart keeps its number through changes around it', (t) => {
  const objects = emptyObjects()
  const parts: Parts = {
    ...{ labels: { app: 'a' }, node: 'n1', account: 'default', http: ['http=80'] },
    ...{ isHostNetwork: false, isDual: false, isDone: false },
  }
  objects.pods.set(0, podOf(parts, 0))
  objects.pods.set(2, podOf(parts, 2))
  const memo = emptyMemo()
  let state = stateAfter(objects, stateOf(clusterOf(), 'n1'))
  const numberOf = (text: string) => compile(state, memo).identities.get(text)
  const first = numberOf('10.0.0.1')
  t.equal(numberOf('10.0.0.3'), first, 'no policy: all pods of a namespace are one class')
  objects.pods.delete(0)
  state = stateAfter(objects, state)
  t.equal(numberOf('10.0.0.1'), undefined)
  t.equal(numberOf('10.0.0.3'), first, 'one of two is gone')
  objects.pods.set(4, podOf({ ...parts, labels: { app: 'b' } }, 4))
  state = stateAfter(objects, state)
  t.equal(numberOf('10.0.0.5'), first, 'a label that nobody asks for')
  t.same([...state.pods.values()].map(podKey), ['x/2', 'x/4'])
  t.same(
    [...state.local.values()].map(({ address }) => formatAddress(address)),
    [...['10.0.0.3', '10.0.0.5']],
  )
  t.end()
})
