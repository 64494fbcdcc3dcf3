import fc from 'fast-check'
import { test } from 'tap'
import { isNarrowing } from '../../src/kernel/policy-narrowing.ts'
import { PolicySocket } from '../../src/kernel/policy-socket.ts'
import type { Program } from '../../src/policy/program.ts'
import { holds } from '../base/law.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { addresses, anyProgram } from './any-program.ts'
import { Lodger } from './node.ts'
import { passes } from './policy-reference.ts'

type Room = { readonly netns: Netns; readonly socket: PolicySocket; readonly lodger: Lodger }

function withPolicies(use: (room: Room) => void): void {
  const netns = makeNetns('policy')
  const lodger = new Lodger(netns)
  try {
    use({ netns, lodger, socket: new PolicySocket(lodger.native, () => 0.5) })
  } finally {
    lodger.close()
    netns.close()
  }
}

type Listed = { readonly rule?: { readonly chain: string } }

/** What nft says that is there, in any order but for rules of a chain; without the generation. */
function listing(netns: Netns): string {
  const command = ['nft', '-j', 'list', 'table', 'inet', 'tulle-policy']
  const { code, stdout, stderr } = netns.exec(command)
  if (code !== 0) throw new Error(stderr)
  const { nftables } = JSON.parse(stdout) as { readonly nftables: readonly Listed[] }
  const lines = nftables
    .filter(({ rule }) => rule?.chain !== 'current' && rule?.chain !== 'admit')
    .map((one) => ({ of: rule(one), line: JSON.stringify(one, withoutNumbers) }))
  return [...Map.groupBy(lines, ({ of, line }) => of ?? line)]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .flatMap(([, group]) => group.map(({ line }) => line))
    .join('\n')
}
const rule = (one: Listed): string | undefined => one.rule?.chain

function withoutNumbers(key: string, value: unknown): unknown {
  if (key === 'handle') return undefined
  if (key !== 'elem' || !Array.isArray(value)) return value
  return value.map((element) => JSON.stringify(element)).sort()
}

test('a change leaves the kernel as a whole load would', async (t) => {
  withPolicies(({ netns, socket }) => {
    holds(
      t,
      fc.property(anyProgram, anyProgram, (before, after) => {
        socket.load(after, [])
        const wanted = listing(netns)
        socket.load(before, [])
        socket.change(before, after)
        return listing(netns) === wanted && socket.isAsCommitted(after, [])
      }),
      60,
    )
  })
})

const peers = [...addresses, '203.0.113.9', '2001:db8::9']
const services = [
  { protocol: 6, port: 80 },
  { protocol: 6, port: 443 },
  { protocol: 17, port: 53 },
  { protocol: 17, port: 99 },
  { protocol: 1, port: 0 },
]

const anyStep = fc.constantFrom('identities', 'denies', 'allows', 'isIsolated', 'all')
type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never

/** A small change: random programs have nothing in common, and all is taken away between them. */
function stepped(before: Program, other: Program, step: Step): Program {
  if (step === 'all') return other
  if (step === 'identities')
    return { ...before, identities: new Map([...other.identities, ...before.identities]) }
  const profiles = [...before.profiles].map(([name, old]) => {
    const now = other.profiles.get(name)
    return [name, now ? { ...old, [step]: now[step] } : old] as const
  })
  return { ...before, profiles: new Map(profiles) }
}

test('nothing is taken away without a new generation', async (t) => {
  holds(
    t,
    fc.property(anyProgram, anyProgram, anyStep, (before, other, step) => {
      const after = stepped(before, other, step)
      if (isNarrowing(before, after)) return true
      return peers.every((source) =>
        peers.every((target) =>
          services.every((service) => {
            const connection = { source, target, ...service }
            return !passes(before, connection) || passes(after, connection)
          }),
        ),
      )
    }),
    3_000,
  )
})
