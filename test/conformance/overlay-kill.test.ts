import t from 'tap'
import { askLater, attach, attachLater } from '../support/attachment.ts'
import { addHost, type Member, overlayConf } from '../support/cluster-host.ts'
import { changing, killedAt, placesEveryTime, placesOf, wasKilled } from '../support/faults.ts'
import { inPairs } from '../support/pairs.ts'
import { watchResidue } from '../support/residue.ts'
import { withUnderlay } from '../support/underlay.ts'

t.setTimeout(280_000)

const members: readonly Member[] = [
  { name: 'a', addresses: ['10.0.0.1', 'fd00:0::1'], podCIDRs: ['10.1.1.0/24', 'fd01:1::/64'] },
  { name: 'b', addresses: ['10.0.0.2', 'fd00:0::2'], podCIDRs: ['10.1.2.0/24', 'fd01:2::/64'] },
  { name: 'c', addresses: ['10.1.0.3', 'fd00:1::3'], podCIDRs: ['10.2.3.0/24', 'fd01:3::/64'] },
]

/** SIGKILL at every other call that changes the world, of the first ADD and of the last DEL. */
for (const verb of ['ADD', 'DEL'] as const)
  t.test(`${verb} killed anywhere: DEL or GC leaves nothing of the overlay`, (t) =>
    withUnderlay(async (underlay) => {
      const withNode = async <T>(use: (node: ReturnType<typeof addHost>) => T | Promise<T>) => {
        const [member] = members
        if (!member) throw new Error('a member')
        const made = addHost(underlay, member)
        try {
          return await use(made)
        } finally {
          made.host.close()
        }
      }
      const placesOnce = () =>
        withNode((node) => {
          const conf = overlayConf(node, members)
          const pod = node.host.pod()
          if (verb === 'DEL') attach('ADD', pod, conf, {})
          return placesOf(node.host, changing, (extra) => attach(verb, pod, conf, extra))
        })
      const places = await placesEveryTime(placesOnce)
      t.ok(places.length > 15, `${places.length} places to die at`)
      let killed = 0
      const some = places.filter((_, at) => at % 2 === (verb === 'ADD' ? 0 : 1))
      await inPairs(some, async (place) => {
        await withNode(async (node) => {
          const conf = overlayConf(node, members)
          const pod = node.host.pod()
          const left = watchResidue(node.host, [pod.netns])
          const at = `${place.name} ${place.when}`
          if (verb === 'DEL') await attachLater('ADD', pod, conf)
          if (wasKilled(await attachLater(verb, pod, conf, killedAt(place)))) killed += 1
          const isGc = place.when % 2 === 0
          const ran = isGc
            ? await askLater('GC', node.host, { ...conf, 'cni.dev/valid-attachments': [] })
            : await attachLater('DEL', pod, conf)
          t.equal(ran.code, 0, `${at}: ${ran.stdout}`)
          t.strictSame(left(), [], `${at}, ${isGc ? 'GC' : 'DEL'} leaves nothing`)
          const again = await attachLater('ADD', pod, conf)
          t.equal(again.code, 0, `${at}, the next ADD: ${again.stdout}`)
        })
      })
      t.ok(killed > some.length * 0.9, `${killed} of ${some.length} were killed`)
    }),
  )
