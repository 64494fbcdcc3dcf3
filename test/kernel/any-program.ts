import fc from 'fast-check'
import type { Profile, Program, Reach, Spans } from '../../src/policy/program.ts'
import { block, nothing, program, spans, whole } from './programs.ts'

// Programs as `compile` may make them: spans and blocks are disjoint.

export const addresses = ['10.1.0.1', '10.1.0.2', '10.1.0.3', 'fd00:1::1', 'fd00:1::2'] as const
const names = ['0a', '1b', '2c'] as const

const anySpans: fc.Arbitrary<Spans> = fc.oneof(
  { arbitrary: fc.constant([]), weight: 4 },
  fc.constant(whole),
  fc.constantFrom(
    spans('tcp 80'),
    spans('tcp 80-90'),
    spans('tcp 80', 'udp 53'),
    spans('tcp 80', 'udp 53-99'),
    spans('any 53', 'tcp 80-443'),
  ),
)

const ranges = [
  '10.1.0.0-10.1.0.1',
  '10.1.0.2-10.1.0.2',
  '10.1.0.3-203.0.113.255',
  'fd00:1::1-fd00:1::2',
]
const anyBlocks = fc
  .tuple(...ranges.map(() => anySpans))
  .map((all) => ranges.flatMap((range, at) => (all[at]?.length ? [block(range, ...all[at])] : [])))

const anyIdentities = fc
  .tuple(anySpans, anySpans, anySpans)
  .map((all) => new Map(all.flatMap((one, at) => (one.length > 0 ? [[at + 255, one]] : []))))

const anyReach: fc.Arbitrary<Reach> = fc.oneof(
  fc.constant(nothing),
  fc.record({
    anybody: anySpans,
    pods: anySpans,
    ownNode: anySpans,
    identities: anyIdentities,
    blocks: anyBlocks,
    world: anyBlocks,
  }),
)

const anyDenies = fc
  .array(anyReach, { maxLength: 2 })
  .map((all) => all.map((reach, at) => ({ policy: `shop/deny${at}`, reach })))

const anyPlain = fc.record({ isIsolated: fc.boolean(), denies: anyDenies, allows: anyReach })

const anyProfile = (name: string): fc.Arbitrary<Profile> =>
  fc.tuple(anyPlain, fc.option(anyPlain, { nil: undefined })).map(([plain, audit]) => {
    const direction = name.startsWith('in-') ? 'ingress' : 'egress'
    const common = { name, direction, policies: ['shop/api'] } as const
    return { ...plain, ...common, ...(audit ? { audit: { ...audit, ...common } } : {}) }
  })

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })

/** Pairs of a name and what it has, without those that have nothing. */
const present = <T>(keys: readonly string[], values: readonly (T | undefined)[]) =>
  Object.fromEntries(
    keys.flatMap((key, at) => {
      const value = values[at]
      return value === undefined ? [] : [[key, value]]
    }),
  )

const anySubject = fc.record(
  {
    ingress: fc.constantFrom(...names.map((name) => `in-${name}`)),
    egress: fc.constantFrom(...names.map((name) => `out-${name}`)),
  },
  { requiredKeys: [] },
)
const profileNames = names.flatMap((name) => [`in-${name}`, `out-${name}`])

export const anyProgram: fc.Arbitrary<Program> = fc
  .tuple(
    fc.tuple(...addresses.map(() => maybe(fc.constantFrom(1, 255, 256, 257)))),
    fc.tuple(...addresses.map(() => maybe(anySubject))),
    fc.tuple(...profileNames.map(anyProfile)),
  )
  .map(([identities, subjects, profiles]) => {
    const used = new Set(subjects.flatMap((one) => [one?.ingress, one?.egress]))
    return program({
      identities: present(addresses, identities),
      subjects: present(addresses, subjects),
      profiles: profiles.filter(({ name }) => used.has(name)),
    })
  })
