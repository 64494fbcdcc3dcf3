import fc from 'fast-check'
import { test } from 'tap'
import { bridgeAlias, formatAlias, parseAlias } from '../../src/datapath/mark.ts'
import { holds } from '../base/law.ts'
import { attachmentOf } from './attachments.ts'

const name = (length: number) =>
  fc.string({
    unit: fc.constantFrom(...'abcXYZ019_.-'),
    minLength: 1,
    maxLength: length,
    size: 'max',
  })
const container = fc.tuple(fc.constantFrom('a', '7'), name(300)).map(([one, rest]) => one + rest)
/** 15 bytes of anything that an interface may be called: é has two bytes, € three, 🐟 four. */
const ifname = fc
  .array(fc.constantFrom('e', '0', '.', 'é', '€', '🐟'), { minLength: 1, maxLength: 15 })
  .map((letters) => letters.join(''))
  .filter((text) => Buffer.byteLength(text) <= 15 && text !== '.' && text !== '..')
const address = fc.oneof(
  fc.ipV4(),
  fc.constantFrom('fd00:1::5', 'fd00:1234:5678:9abc:def0:1234:5678:9abc'),
)
const attachment = fc
  .record({ network: container, container, ifname, addresses: fc.array(address, { maxLength: 4 }) })
  .map(({ addresses, ...id }) => ({
    ...attachmentOf('routed', 'v4', id),
    ips: addresses.map((text) => ({ address: text, subnetBits: 24, gateway: null })),
  }))

/** The kernel's policy of IFLA_IFALIAS: 255 bytes, of which the NUL behind the text is one. */
const aliasBytesMax = 254

test('an alias is never longer than the kernel takes', async (t) =>
  holds(
    t,
    fc.property(attachment, (one) => Buffer.byteLength(formatAlias(one)) <= aliasBytesMax),
    1000,
  ))

test('what was not cut is read again as it was', async (t) => {
  let whole = 0
  const property = fc.property(attachment, (one) => {
    const { network, container: id, ips, ifname: own } = one
    const addresses = ips.map((ip) => ip.address)
    const text = `tulle1 ${addresses.join(',') || '-'} ${own} ${network} ${id}`
    fc.pre(Buffer.byteLength(text) <= aliasBytesMax)
    whole += 1
    const want = { network, container: id, ifname: own, addresses }
    return formatAlias(one) === text && JSON.stringify(parseAlias(text)) === JSON.stringify(want)
  })
  holds(t, property)
  t.ok(whole > 100, `${whole} of them`)
})

test('what was cut loses its end alone', async (t) => {
  const property = fc.property(attachment, (one) => {
    const marked = parseAlias(formatAlias(one))
    if (marked === undefined) return true
    const addresses = one.ips.map((ip) => ip.address)
    return (
      marked.addresses.join() === addresses.join() &&
      marked.ifname === one.ifname &&
      one.network.startsWith(marked.network) &&
      one.container.startsWith(marked.container)
    )
  })
  holds(t, property, 1000)
})

const [plain] = [attachmentOf('routed', 'dual')]

test('an alias tells a person what the link is', async (t) => {
  t.equal(formatAlias(plain), 'tulle1 10.1.0.5,fd00:1::5 eth0 net c1')
  t.equal(formatAlias({ ...plain, ips: [] }), 'tulle1 - eth0 net c1')
})

for (const { why, alias } of [
  { why: 'no alias', alias: undefined },
  { why: 'an empty one', alias: '' },
  { why: 'somebody else’s', alias: 'uplink to rack 7 port 3' },
  { why: 'a later format of ours', alias: 'tulle2 10.1.0.5 eth0 net c1' },
  { why: 'the bridge’s', alias: bridgeAlias },
  { why: 'one cut before the container', alias: 'tulle1 10.1.0.5 eth0 net ' },
  { why: 'one cut before the network', alias: 'tulle1 10.1.0.5 eth0' },
  { why: 'a word too many', alias: 'tulle1 10.1.0.5 eth0 net c1 more' },
  { why: 'two blanks', alias: 'tulle1  10.1.0.5 eth0 net' },
]) {
  test(`not a pod's link: ${why}`, async (t) => t.equal(parseAlias(alias), undefined))
}
