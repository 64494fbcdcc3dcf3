import { test } from 'tap'
import { PolicySocket } from '../../src/kernel/policy-socket.ts'
import type { Program } from '../../src/policy/program.ts'
import { makeNetns } from '../support/netns.ts'
import { Lodger } from './node.ts'
import { profile, spans, whole } from './programs.ts'

const podsCount = 10_000
const profilesCount = 1_000
const address = (pod: number): string => `10.${pod >> 16}.${(pod >> 8) & 255}.${pod & 255}`

/** A cluster of many pods, on a node with many policies. */
const large = (pods: number): Program => ({
  identities: new Map(Array.from({ length: pods }, (_, at) => [address(at), 256 + (at % 500)])),
  subjects: new Map(
    Array.from({ length: profilesCount }, (_, at) => [address(at), { ingress: `in-${at}` }]),
  ),
  profiles: new Map(
    Array.from({ length: profilesCount }, (_, at) => {
      const name = `in-${at}`
      const identities = new Map([
        [256 + (at % 500), spans('tcp 80', 'tcp 9000-9100')],
        [257 + (at % 500), whole],
      ])
      return [name, profile(name, { identities })]
    }),
  ),
})

test('ten thousand pods and a thousand chains go in one batch', async (t) => {
  const netns = makeNetns('policy')
  const sent: number[] = []
  const lodger = new Lodger(netns, (bytes) => {
    sent.push(bytes.length)
    return bytes
  })
  try {
    const socket = new PolicySocket(lodger.native)
    const [before, after] = [large(podsCount), large(podsCount + 1)]
    socket.load(before, [])
    t.ok(Math.max(...sent) > 2_000_000, `in one message of ${Math.max(...sent)} bytes`)
    t.ok(socket.isAsCommitted(before, []))
    sent.length = 0
    const { generation } = socket
    socket.change(before, { ...before, identities: after.identities })
    t.ok(Math.max(...sent) < 1_000, 'one pod more is one small batch')
    t.equal(socket.generation, generation, 'that cuts nobody')
    socket.load(after, [])
    t.not(socket.generation, generation, 'what is loaded whole is judged anew')
    t.ok(socket.isAsCommitted(after, []))
  } finally {
    lodger.close()
    netns.close()
  }
})
