import type { Test } from 'tap'
import {
  added,
  addedLater,
  attach,
  attachLater,
  type Mode,
  netconf,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Place, placesEveryTime, placesOf, refusable, refusedAt } from '../support/faults.ts'
import { type Host, withHost } from '../support/host.ts'
import { inPairs } from '../support/pairs.ts'
import { watchResidue } from '../support/residue.ts'
import { errorFaults, resultFaults } from '../support/shape.ts'

const network = (host: Host, mode: Mode, keys: Json = {}): Json =>
  netconf(host, { mode, families: 'dual', keys: { ipMasq: true, ...keys } })

/** With all that a pod can have besides: whatever of it was done is undone too. */
const withExtras = (host: Host, mode: Mode): Json => {
  const port = { hostPort: 8080, containerPort: 80 }
  const portMappings = [port, { ...port, protocol: 'udp' }]
  return network(host, mode, { runtimeConfig: { portMappings } })
}

/** What the kernel or a disk says at such a call when it is out of order. */
const errnoOf: Readonly<Record<string, readonly string[]>> = {
  sendto: ['EPERM', 'ENOMEM'],
  sendmsg: ['EPERM', 'ENOMEM'],
  recvfrom: ['ENOBUFS'],
  recvmsg: ['ENOBUFS'],
  pwrite64: ['ENOSPC', 'EIO'],
  fdatasync: ['EIO'],
  fsync: ['EIO'],
  ftruncate: ['EIO'],
  unlink: ['EROFS'],
  flock: ['ENOLCK'],
  mkdir: ['EROFS'],
}

/** An ADD that fails leaves nothing, by itself; one that goes on gives a good result. */
async function expectNothing(t: Test, mode: Mode, place: Place, errno: string): Promise<void> {
  await withHost(async (host) => {
    const conf = withExtras(host, mode)
    const [living, pod] = [host.pod(), host.pod()]
    if (place.when % 2 === 0) await addedLater(living, network(host, mode))
    const left = watchResidue(host, [living.netns, pod.netns])
    const at = `${errno} at ${place.name} ${place.when}`
    const ran = await attachLater('ADD', pod, conf, refusedAt(place, errno))
    if (ran.code === 0) {
      t.same(resultFaults(JSON.parse(ran.stdout), '1.1.0'), [], `${at}: survived`)
      t.equal((await attachLater('DEL', pod, conf)).code, 0)
    } else {
      t.same(errorFaults(ran), [], `${at}: ${ran.stdout}${ran.stderr}`)
    }
    t.same(left(), [], `${at}: nothing is left, without any DEL`)
  })
}

/** A DEL that fails says so, and the next one finishes the work. */
async function expectRepeatable(t: Test, mode: Mode, place: Place, errno: string): Promise<void> {
  await withHost(async (host) => {
    const conf = withExtras(host, mode)
    const pod = host.pod()
    const left = watchResidue(host, [pod.netns])
    await addedLater(pod, conf)
    const at = `DEL, ${errno} at ${place.name} ${place.when}`
    const ran = await attachLater('DEL', pod, conf, refusedAt(place, errno))
    if (ran.code !== 0) t.same(errorFaults(ran), [], `${at}: ${ran.stdout}${ran.stderr}`)
    t.equal((await attachLater('DEL', pod, conf)).code, 0)
    t.same(left(), [], `${at}: the next DEL leaves nothing`)
  })
}

async function placesFor(t: Test, mode: Mode, verb: 'ADD' | 'DEL'): Promise<readonly Place[]> {
  const places = await placesEveryTime(() => placesOnce(mode, verb))
  t.comment(places.map(({ name, when }) => `${name} ${when}`).join(', '))
  t.ok(places.length > 8, `${places.length} places to refuse at`)
  return places
}

const placesOnce = (mode: Mode, verb: 'ADD' | 'DEL'): Promise<readonly Place[]> =>
  withHost((host) => {
    const conf = withExtras(host, mode)
    const pod = host.pod()
    if (verb === 'DEL') added(pod, conf)
    return placesOf(host, refusable, (extra) => attach(verb, pod, conf, extra))
  })

export async function refuseEverywhere(t: Test, mode: Mode): Promise<void> {
  // the way into the pod's namespace; the way back is never refused to who came in
  await expectNothing(t, mode, { name: 'setns', when: 1 }, 'EPERM')
  await inPairs(await placesFor(t, mode, 'ADD'), async (place) => {
    for (const errno of errnoOf[place.name] ?? []) await expectNothing(t, mode, place, errno)
  })
  await inPairs(await placesFor(t, mode, 'DEL'), async (place) => {
    const [errno = 'EPERM'] = errnoOf[place.name] ?? []
    await expectRepeatable(t, mode, place, errno)
  })
}
