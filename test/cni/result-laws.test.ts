import fc from 'fast-check'
import { test } from 'tap'
import { formatResult, passThrough, type Result, readResult } from '../../src/cni/result.ts'
import { type CniVersion, versions } from '../../src/cni/version.ts'
import { holds } from '../base/law.ts'

/** Without keys that are undefined, as JSON has them. */
const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T
const same = (got: unknown, want: unknown): void => {
  const [left, right] = [got, want].map((value) => JSON.stringify(sorted(value)))
  if (left !== right) throw new Error(`got ${left}, want ${right}`)
}
/** Keys in one order: it means nothing in JSON. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, child]) => [key, sorted(child)] as const)
  return Object.fromEntries(entries.sort(([left], [right]) => (left < right ? -1 : 1)))
}

const ip4 = fc.ipV4()
const ip6 = fc.ipV6().filter((text) => !text.includes('.'))
const cidr = fc.oneof(
  fc.tuple(ip4, fc.nat(32)).map(([ip, bits]) => `${ip}/${bits}`),
  fc.tuple(ip6, fc.nat(128)).map(([ip, bits]) => `${ip}/${bits}`),
)
const maybe = <T>(one: fc.Arbitrary<T>) => fc.option(one, { nil: undefined })
const number = maybe(fc.nat(65535))
const word = fc.string({ minLength: 1 })
const result: fc.Arbitrary<Result> = fc
  .record({
    interfaces: fc.array(
      fc.record({ name: word, mac: maybe(word), mtu: number, sandbox: maybe(word) }),
    ),
    ips: fc.array(
      fc.record({ address: cidr, gateway: maybe(fc.oneof(ip4, ip6)), interface: number }),
    ),
    routes: fc.array(
      fc.record({
        dst: cidr,
        gw: maybe(fc.oneof(ip4, ip6)),
        mtu: number,
        advmss: number,
        priority: number,
        table: number,
        scope: number,
      }),
    ),
    dns: fc.record({
      nameservers: maybe(fc.array(ip4, { minLength: 1 })),
      domain: maybe(word),
      search: maybe(fc.array(word, { minLength: 1 })),
      options: maybe(fc.array(word, { minLength: 1 })),
    }),
  })
  .map((value) => plain(value) as Result)

// Second opinion, written from the specification's text alone: "Success" of 1.1.0, the same
// section of 1.0.0 (no version in ips) and 0.4.0 (version in ips), and "Result" of 0.2.0.
type Fields = Record<string, unknown>
const isOf6 = (address: string): boolean => address.includes(':')
const only = (value: object, keys: readonly string[]): Fields =>
  Object.fromEntries(Object.entries(value).filter(([key]) => keys.includes(key)))
const nonEmpty = (fields: Fields): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([, list]) => (list as object[]).length > 0))

function before03({ ips, routes, dns }: Result): Fields {
  const found: Fields = { dns }
  for (const [key, is6] of Object.entries({ ip4: false, ip6: true })) {
    const first = ips.find(({ address }) => isOf6(address) === is6)
    if (first === undefined) continue
    const own = routes
      .filter(({ dst }) => isOf6(dst) === is6)
      .map((one) => only(one, ['dst', 'gw']))
    found[key] = {
      ip: first.address,
      ...only(first, ['gateway']),
      ...nonEmpty({ routes: own }),
    }
  }
  return found
}

const before10 = ({ interfaces, ips, routes, dns }: Result): Fields => ({
  ...nonEmpty({
    interfaces: interfaces.map((one) => only(one, ['name', 'mac', 'sandbox'])),
    ips: ips.map((one) => ({ ...one, version: isOf6(one.address) ? '6' : '4' })),
    routes: routes.map((one) => only(one, ['dst', 'gw'])),
  }),
  dns,
})

const withoutEmptyDns = ({ dns, ...rest }: Fields): Fields =>
  Object.keys(dns as object).length > 0 ? { dns, ...rest } : rest

function expected(version: CniVersion, all: Result): Fields {
  if (version === '0.1.0' || version === '0.2.0') return before03(all)
  if (version.startsWith('0.')) return before10(all)
  const { interfaces, ips, routes, dns } = all
  if (version === '1.1.0') return withoutEmptyDns({ ...nonEmpty({ interfaces, ips, routes }), dns })
  return withoutEmptyDns({ ...before10(all), ...nonEmpty({ ips }), dns })
}

for (const version of versions) {
  test(`${version}: results are written as the specification’s text has them`, async (t) => {
    holds(
      t,
      fc.property(result, (one) =>
        same(JSON.parse(formatResult(version, one)), {
          cniVersion: version,
          ...expected(version, one),
        }),
      ),
    )
  })
}

/** What is left of a result that was written in a version and read again. */
function kept(version: CniVersion, all: Result): Result {
  if (version === '1.1.0') return all
  const routes = all.routes.map(({ dst, gw }) => (gw === undefined ? { dst } : { dst, gw }))
  const interfaces = all.interfaces.map(({ mtu: _, ...rest }) => rest)
  if (version !== '0.1.0' && version !== '0.2.0') return { ...all, interfaces, routes }
  const ips = [false, true].flatMap((is6) => {
    const first = all.ips.find(({ address }) => isOf6(address) === is6)
    if (first === undefined) return []
    const { interface: _, ...rest } = first
    return [rest]
  })
  const own = ips.flatMap(({ address }) =>
    routes.filter(({ dst }) => isOf6(dst) === isOf6(address)),
  )
  return { interfaces: [], ips, routes: own, dns: all.dns }
}

for (const version of versions) {
  test(`${version}: what was written is read again, but for what it cannot say`, async (t) => {
    holds(
      t,
      fc.property(result, (one) =>
        same(readResult(JSON.parse(formatResult(version, one))), kept(version, one)),
      ),
    )
  })
}

const keys = fc.constantFrom('interfaces', 'ips', 'routes', 'dns', 'ip4', 'ip6', 'cniVersion')
const innerKeys = fc.constantFrom('address', 'gateway', 'interface', 'name', 'dst', 'ip', 'routes')
const inner = fc.dictionary(innerKeys, fc.oneof(fc.jsonValue(), fc.array(fc.object())))
const near = fc.dictionary(keys, fc.oneof(inner, fc.array(fc.oneof(inner, fc.anything()))))

test('readResult reads something good out of anything', async (t) => {
  holds(
    t,
    fc.property(fc.oneof(fc.anything(), near), (value) => {
      const { ips, routes, interfaces, dns } = readResult(value)
      const isGood =
        ips.every((one) => one.address !== '' && (one.interface ?? 0) >= 0) &&
        routes.every(({ dst }) => dst !== '') &&
        interfaces.every(({ name }) => typeof name === 'string') &&
        typeof dns === 'object'
      if (!isGood) throw new Error(JSON.stringify({ ips, routes, interfaces, dns }))
    }),
    1000,
  )
})

test('whatever prevResult holds, pass-through keeps', async (t) => {
  const prevResult = fc.dictionary(fc.string(), fc.jsonValue())
  holds(
    t,
    fc.property(prevResult, fc.constantFrom(...versions), (value, cniVersion) => {
      const { cniVersion: _, ...rest } = plain(value)
      const want = { cniVersion, ...rest }
      same(JSON.parse(passThrough(cniVersion, rest)), want)
      same(JSON.parse(passThrough(cniVersion, { ...rest, cniVersion })), want)
    }),
  )
})
