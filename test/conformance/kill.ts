import type { Test } from 'tap'
import {
  add,
  added,
  ask,
  attach,
  check,
  del,
  deleted,
  type Mode,
  netconf,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import {
  changing,
  countCalls,
  killedAt,
  type Place,
  placesOf,
  wasKilled,
} from '../support/faults.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import { watchResidue } from '../support/residue.ts'
import { resultFaults } from '../support/shape.ts'

const network = (host: Host, mode: Mode): Json =>
  netconf(host, { mode, families: 'dual', keys: { ipMasq: true } })

export type Killed = Readonly<{ mode: Mode; verb: 'ADD' | 'DEL' }>

/** The call that dies: an ADD of a new pod, or the DEL of one that is attached. */
function kill(pod: Pod, conf: Json, verb: Killed['verb'], place: Place): boolean {
  if (verb === 'DEL') added(pod, conf)
  return wasKilled(attach(verb, pod, conf, killedAt(place)))
}

/** (a) DEL alone leaves nothing, (c) and the next ADD of the same pod is an ordinary one. */
async function recoversByDel(t: Test, { mode, verb }: Killed, place: Place): Promise<void> {
  await withHost((host) => {
    const conf = network(host, mode)
    const pod = host.pod()
    const left = watchResidue(host, [pod.netns])
    const at = `${place.name} ${place.when}`
    t.ok(kill(pod, conf, verb, place), `${at}: killed`)
    const again = del(pod, conf)
    t.same([again.code, again.stdout], [0, ''], `${at}: DEL succeeds`)
    t.same(left(), [], `${at}: after DEL nothing is left`)
    const ran = add(pod, conf)
    t.equal(ran.code, 0, `${at}: the next ADD: ${ran.stdout}${ran.stderr}`)
    if (ran.code === 0) t.same(resultFaults(JSON.parse(ran.stdout), '1.1.0'), [])
    deleted(pod, conf)
    t.same(left(), [], `${at}: and after its DEL nothing`)
  })
}

/** (b) GC alone leaves nothing but the neighbour that it lists; the netns of the dead is gone. */
async function recoversByGc(t: Test, { mode, verb }: Killed, place: Place): Promise<void> {
  await withHost((host) => {
    const conf = network(host, mode)
    const [living, pod] = [host.pod(), host.pod()]
    const empty = watchResidue(host, [living.netns])
    const result = added(living, conf)
    const left = watchResidue(host, [living.netns, pod.netns])
    const at = `${place.name} ${place.when}, beside a living pod`
    t.ok(kill(pod, conf, verb, place), `${at}: killed`)
    if (place.when % 2 === 0) pod.netns.close()
    const listed = [{ containerID: living.container, ifname: living.ifname }]
    const ran = ask('GC', host, { ...conf, 'cni.dev/valid-attachments': listed })
    t.same([ran.code, ran.stdout], [0, ''], `${at}: GC succeeds`)
    t.same(left(), [], `${at}: after GC only the living pod is left`)
    t.equal(check(living, conf, result).code, 0, `${at}: CHECK agrees with the living pod`)
    const all = ask('GC', host, { ...conf, 'cni.dev/valid-attachments': [] })
    t.same([all.code, empty()], [0, []], `${at}: GC [] takes that one too`)
  })
}

/** SIGKILL at every call that changes the world, one run each. */
export async function killEverywhere(t: Test, killed: Killed): Promise<void> {
  const places: Place[] = []
  await withHost((host) => {
    const conf = network(host, killed.mode)
    const pod = host.pod()
    if (killed.verb === 'DEL') added(pod, conf)
    const counts = countCalls(host, changing, (extra) => attach(killed.verb, pod, conf, extra))
    places.push(...placesOf(counts))
    t.comment(`calls: ${[...counts].map(([name, count]) => `${name} ${count}`).join(', ')}`)
    t.ok(places.length > 8, `${places.length} places to die at`)
  })
  for (const place of places) {
    await recoversByDel(t, killed, place)
    await recoversByGc(t, killed, place)
  }
}
