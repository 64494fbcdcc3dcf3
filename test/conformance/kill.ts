import type { Test } from 'tap'
import { added, addedLater, askLater, attach, attachLater, netconf } from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import {
  changing,
  killedAt,
  type Place,
  placesEveryTime,
  placesOf,
  wasKilled,
} from '../support/faults.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import { type Killed, keysOf, sysctl, watchAll } from '../support/killed.ts'
import { inPairs } from '../support/pairs.ts'
import { resultFaults } from '../support/shape.ts'

/** Each pod of a host has host ports of its own. */
const network = (host: Host, { mode, asks }: Killed, hostPort = 8080): Json =>
  netconf(host, {
    mode,
    families: 'dual',
    keys: { ipMasq: true, ...keysOf(host, asks, hostPort) },
  })
const besideHostPort = 8081

const tuned = ({ netns }: Pod): string =>
  netns.exec(['cat', `/proc/sys/${sysctl.replaceAll('.', '/')}`]).stdout.trim()

/**
 * The call that dies: an ADD of a new pod, or the DEL of one that is attached. Where the plugin
 * waits for the kernel the number of its calls varies, so the very last place may not be reached.
 */
async function kill(pod: Pod, conf: Json, verb: Killed['verb'], place: Place): Promise<string> {
  if (verb === 'DEL') await addedLater(pod, conf)
  const ran = await attachLater(verb, pod, conf, killedAt(place))
  if (wasKilled(ran)) return 'killed'
  return ran.code === 0 ? 'survived' : `exit ${ran.code}: ${ran.stdout}`
}

/** How the call ended, after everything has been checked that follows from it. */
type Recovery = (t: Test, killed: Killed, place: Place) => Promise<string>

/** (a) DEL alone leaves nothing, (c) and the next ADD of the same pod is an ordinary one. */
const byDel: Recovery = (t, killed, place) =>
  withHost(async (host) => {
    const conf = network(host, killed)
    const pod = host.pod()
    const untuned = tuned(pod)
    const left = watchAll(host, [pod])
    const at = `${place.name} ${place.when}, DEL`
    const ending = await kill(pod, conf, killed.verb, place)
    t.match(ending, /^(killed|survived)$/, at)
    const again = await attachLater('DEL', pod, conf)
    t.same([again.code, again.stdout], [0, ''], `${at} succeeds`)
    t.same(left(), [], `${at} leaves nothing`)
    t.equal(tuned(pod), untuned, `${at} puts the sysctl back`)
    const ran = await attachLater('ADD', pod, conf)
    t.equal(ran.code, 0, `${at}: the next ADD: ${ran.stdout}${ran.stderr}`)
    if (ran.code === 0) t.same(resultFaults(JSON.parse(ran.stdout), '1.1.0'), [])
    t.equal((await attachLater('DEL', pod, conf)).code, 0)
    t.same(left(), [], `${at}: and its DEL leaves nothing`)
    return ending
  })

const listed = 'cni.dev/valid-attachments'

/** (b) GC alone, with an empty list, leaves nothing; every other time the netns is gone by then. */
const byGc: Recovery = (t, killed, place) =>
  withHost(async (host) => {
    const conf = network(host, killed)
    const pod = host.pod()
    const left = watchAll(host, [pod])
    const at = `${place.name} ${place.when}, GC`
    const ending = await kill(pod, conf, killed.verb, place)
    t.match(ending, /^(killed|survived)$/, at)
    if (place.when % 2 === 0) pod.netns.close()
    const ran = await askLater('GC', host, { ...conf, [listed]: [] })
    t.same([ran.code, ran.stdout], [0, ''], `${at} succeeds`)
    t.same(left(), [], `${at} leaves nothing`)
    return ending
  })

/** The same beside a living pod, which GC lists and which must not be harmed. */
const byGcBeside: Recovery = (t, killed, place) =>
  withHost(async (host) => {
    const [conf, livingConf] = [network(host, killed), network(host, killed, besideHostPort)]
    const [living, pod] = [host.pod(), host.pod()]
    const prevResult = await addedLater(living, livingConf)
    const left = watchAll(host, [living, pod])
    const at = `${place.name} ${place.when}, GC beside a living pod`
    const ending = await kill(pod, conf, killed.verb, place)
    t.match(ending, /^(killed|survived)$/, at)
    const valid = [{ containerID: living.container, ifname: living.ifname }]
    const ran = await askLater('GC', host, { ...conf, [listed]: valid })
    t.same([ran.code, ran.stdout], [0, ''], `${at} succeeds`)
    t.same(left(), [], `${at} leaves only that one`)
    const checked = await attachLater('CHECK', living, { ...livingConf, prevResult })
    t.equal(checked.code, 0, `${at}: CHECK agrees with it`)
    return ending
  })

/** Every place where the call can die, on an empty node or beside a living pod. */
async function placesFor(t: Test, killed: Killed, living: number): Promise<readonly Place[]> {
  const places = await placesEveryTime(() => placesOnce(killed, living))
  t.comment(places.map(({ name, when }) => `${name} ${when}`).join(', '))
  t.ok(places.length > 8, `${places.length} places to die at`)
  return places
}

const placesOnce = (killed: Killed, living: number): Promise<readonly Place[]> =>
  withHost((host) => {
    const { verb } = killed
    const conf = network(host, killed)
    for (let count = 0; count < living; count += 1)
      added(host.pod(), network(host, killed, besideHostPort + count))
    const pod = host.pod()
    if (verb === 'DEL') added(pod, conf)
    return placesOf(host, changing, (extra) => attach(verb, pod, conf, extra))
  })

/** SIGKILL at every call that changes the world, one run each. */
export async function killEverywhere(t: Test, killed: Killed): Promise<void> {
  const endings: string[] = []
  await inPairs(await placesFor(t, killed, 0), async (place) => {
    endings.push(await byDel(t, killed, place), await byGc(t, killed, place))
  })
  await inPairs(await placesFor(t, killed, 1), async (place) => {
    endings.push(await byGcBeside(t, killed, place))
  })
  const dead = endings.filter((ending) => ending === 'killed').length
  t.ok(dead > endings.length * 0.95, `${dead} of ${endings.length} were killed`)
}
