import fc from 'fast-check'
import t from 'tap'
import { parseConfig } from '../../src/cni/config.ts'
import { parseEnvironment } from '../../src/cni/environment.ts'
import { formatFault } from '../../src/cni/fault.ts'
import { formatResult, passThrough, readResult } from '../../src/cni/result.ts'
import { refuseUnsupported } from '../../src/cni/unsupported.ts'
import { parseAlias } from '../../src/datapath/mark.ts'
import { listedAt, parseRanges, type RangeText } from '../../src/ipam/ranges.ts'
import { versions } from '../support/cni.ts'
import { faultOrResult } from '../support/fault-of.ts'
import { errorFaults, resultFaults } from '../support/shape.ts'
import { inputs } from './input.ts'

/** The parts of a process that read what others wrote, without the process: ten times the cases. */
const cases = 10 * Number(process.env.TULLE_FUZZ_CASES ?? 2_000)
const seed = Number(process.env.TULLE_FUZZ_SEED ?? Date.now() % 2 ** 31)
const options = { seed, numRuns: cases }

t.setTimeout(120_000 + cases * 10)
t.comment(`TULLE_FUZZ_CASES=${cases / 10} TULLE_FUZZ_SEED=${seed}`)

const places = { netns: ['/proc/self/ns/net', '/run/x'], dataDirs: ['/x/leases'] }

/** Throws unless work ends with a value, or with a fault that is a valid error object. */
function expectAnswer(work: () => unknown): void {
  const outcome = faultOrResult(work)
  if (!('fault' in outcome)) return
  const stdout = formatFault('1.1.0', outcome.fault)
  const faults = errorFaults({ code: 1, stdout, stderr: '' })
  if (faults.length > 0) throw new Error(`${faults.join('; ')} in ${stdout}`)
}

t.test('a configuration is read, or refused with words', async () => {
  const property = fc.property(inputs(places), ({ stdin }) =>
    expectAnswer(() => refuseUnsupported(parseConfig(new TextDecoder().decode(stdin)))),
  )
  fc.assert(property, options)
})

t.test('JSON of any shape is read, or refused with words', async () => {
  const named = fc.dictionary(
    fc.constantFrom('cniVersion', 'name', 'ipam', 'Mode', 'dns', 'args', 'runtimeConfig', 'mtu'),
    fc.jsonValue({ maxDepth: 2 }),
  )
  const property = fc.property(named, (value) =>
    expectAnswer(() => parseConfig(JSON.stringify({ name: 'net', cniVersion: '1.1.0', ...value }))),
  )
  fc.assert(property, options)
})

t.test('an environment is read, or refused with words', async () => {
  const property = fc.property(inputs(places), ({ env }) =>
    expectAnswer(() => parseEnvironment(env)),
  )
  fc.assert(property, options)
})

t.test('any prevResult is read, and written in every version', async () => {
  const odd = fc.oneof(fc.jsonValue({ maxDepth: 1 }), fc.constantFrom('10.1.1.1/8', 'fd00::1/64'))
  const list = fc.oneof(
    odd,
    fc.array(fc.dictionary(fc.constantFrom('address', 'name', 'dst'), odd)),
  )
  const keys = fc.constantFrom('ips', 'interfaces', 'routes', 'dns', 'ip4', 'ip6', 'cniVersion')
  const property = fc.property(
    fc.oneof(fc.dictionary(keys, list), fc.jsonValue({ maxDepth: 1 })),
    fc.constantFrom(...versions),
    (value, version) => {
      JSON.parse(formatResult(version, readResult(value)))
      expectAnswer(() => passThrough(version, value))
    },
  )
  fc.assert(property, options)
})

t.test('a result that went through an older version and back keeps its addresses', async () => {
  const octet = fc.integer({ min: 1, max: 254 })
  const address = fc.tuple(octet, octet).map(([high, low]) => `10.${high}.0.${low}/24`)
  const property = fc.property(address, fc.constantFrom(...versions), (text, version) => {
    const result = { interfaces: [], ips: [{ address: text }], routes: [], dns: {} }
    const written: unknown = JSON.parse(formatResult(version, result))
    const faults = resultFaults(written, version)
    const [read] = readResult(written).ips
    return faults.length === 0 && read?.address === text
  })
  fc.assert(property, options)
})

t.test('an alias of anybody is read, or is not ours', async () => {
  const word = fc.oneof(
    fc.constantFrom('tulle1', 'bridge', '-', '10.1.1.1', 'eth0', ''),
    fc.string(),
  )
  const property = fc.property(fc.array(word, { maxLength: 7 }), (words) => {
    const marked = parseAlias(words.join(' '))
    return marked === undefined || words.join(' ').startsWith('tulle1 ')
  })
  fc.assert(property, options)
})

t.test('ranges are parsed, or refused by path', async () => {
  const text = fc.oneof(
    fc.constantFrom('10.0.0.0/24', '10.0.0.0/32', 'fd00::/64', '::/0', '0.0.0.0/0', '10.0.0.5'),
    fc.constantFrom('255.255.255.255/32', 'ffff:ffff::/127', '10.0.0.0/31', ''),
    fc.string(),
  )
  const range = fc.record(
    { subnet: text, rangeStart: text, rangeEnd: text, gateway: text },
    { requiredKeys: ['subnet'] },
  ) as fc.Arbitrary<RangeText>
  const property = fc.property(
    fc.array(fc.array(range, { maxLength: 3 }), { maxLength: 3 }),
    (sets) => {
      const parsed = parseRanges(sets, listedAt('ipam.ranges'))
      if ('fault' in parsed) return parsed.fault.path.startsWith('ipam.ranges')
      return parsed.sets.flat().every(({ first, last }) => first.value <= last.value)
    },
  )
  fc.assert(property, options)
})
