// Runtimes end plugins that take too long: what the server has begun for one is taken back, at
// whatever call the launcher dies.
import t from 'tap'
import { added, attach, attachLater, deleted, type Extra, netconf } from '../support/attachment.ts'
import { killedAt, type Place, placesOf, wasKilled } from '../support/faults.ts'
import { records } from '../support/leases.ts'
import { inPairs } from '../support/pairs.ts'
import { watchResidue } from '../support/residue.ts'
import { until } from '../support/until.ts'
import { openFiles, quietFiles, type Served, withServed } from './served.ts'

t.setTimeout(600_000)

/** All that a launcher does but for its end. */
const calls = [
  'connect',
  'read',
  'openat',
  'setns',
  'socket',
  'sendmsg',
  'ppoll',
  'recvfrom',
  'write',
]

for (const mode of ['routed', 'bridge'] as const) {
  const confOf = ({ host }: Served) => netconf(host, { mode, families: 'dual' })

  t.test(`${mode}: the launcher killed at every step of ADD`, async (t) => {
    const places: Place[] = []
    await withServed(async (served) => {
      const { host, file } = served
      const pod = host.pod()
      const ask = (extra: Extra) =>
        attach('ADD', pod, confOf(served), { ...extra, plugin: file.path })
      // The first one switches forwarding on, and says so.
      added(pod, confOf(served), { plugin: file.path })
      deleted(pod, confOf(served), { plugin: file.path })
      places.push(...placesOf(host, calls, ask))
      t.same(file.repeated(), [], 'all of it was the server’s')
    })
    t.comment(places.map(({ name, when }) => `${name} ${when}`).join(', '))
    t.ok(places.length > 20, `${places.length} places to die at`)
    const lastHeard = places.findLast(({ name }) => name === 'recvfrom')
    await inPairs(places, (place) =>
      withServed(async (served) => {
        const { host, file, server } = served
        const conf = confOf(served)
        const pod = host.pod()
        const plugin = file.path
        added(pod, conf, { plugin })
        deleted(pod, conf, { plugin })
        // Taking back what is half done needs sockets of its own, which are kept.
        const kept = (await quietFiles(server)) + 4
        const left = watchResidue(host, [pod.netns])
        const ran = await attachLater('ADD', pod, conf, { ...killedAt(place), plugin })
        const at = `${place.name} ${place.when}`
        t.ok(wasKilled(ran), `${at}: it is dead`)
        // As it was to print the result the server had said its last word: DEL is for that.
        const isLast = place.name === 'write' || place === lastHeard
        if (isLast) deleted(pod, conf, { plugin })
        const isUndone = (): boolean =>
          left().length === 0 && records(host.dataDir).length === 0 && openFiles(server) <= kept
        await until('nothing is left', isUndone, { limitMs: 5000, pauseMs: 20 }).catch(
          () => undefined,
        )
        t.same(left(), [], `${at}: nothing is left`)
        t.same(records(host.dataDir), [], `${at}: nothing on record`)
        t.ok((await quietFiles(server)) <= kept, `${at}: nothing open`)
        added(pod, conf, { plugin })
        deleted(pod, conf, { plugin })
        t.same(file.repeated(), [], `${at}: the server goes on`)
      }),
    )
  })

  t.test(`${mode}: a result that nobody reads`, (t) =>
    withServed(async (served) => {
      const { host, file } = served
      const conf = confOf(served)
      const pod = host.pod()
      const left = watchResidue(host, [pod.netns])
      const into = (script: string): Extra => ({
        wrapper: ['/bin/sh', '-c', script, 'sh'],
        plugin: file.path,
        env: { PATH: '/usr/bin:/bin' },
      })
      for (const script of [
        'exec "$@" > /dev/full',
        // The reader has ended before anything is written.
        '{ sleep 0.1; "$@"; echo $? > "$0.code"; } | true; exit 1',
      ]) {
        const piped = script.replace('$0.code', `${host.directory}/code`)
        const ran = attach('ADD', pod, conf, into(piped))
        await until('it has ended', () => left().length === 0, {
          limitMs: 5000,
          pauseMs: 20,
        }).catch(() => undefined)
        t.equal(ran.code, 1, `${script}: ADD does not claim success`)
        t.same(left(), [], `${script}: and is undone`)
        t.same(records(host.dataDir), [])
      }
      t.same(file.repeated(), [], 'by the server')
    }),
  )
}
