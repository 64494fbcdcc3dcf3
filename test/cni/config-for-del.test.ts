import fc from 'fast-check'
import { test } from 'tap'
import { parseConfig, parseConfigForDel } from '../../src/cni/config.ts'
import { holds } from '../base/law.ts'
import { faultOf, faultOrResult } from '../support/fault-of.ts'

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value)) as unknown
const read = (keys: object): unknown =>
  plain(parseConfigForDel(JSON.stringify({ cniVersion: '1.0.0', name: 'net', ...keys })))
const least = { cniVersion: '1.0.0', name: 'net' }

for (const { why, keys, want } of [
  {
    why: 'a good one, as ADD reads it',
    keys: { mode: 'bridge', mtu: 1400, ipam: { type: 'host-local', Subnet: '10.1.0.0/24' } },
    want: { mode: 'bridge', mtu: 1400, ipam: { type: 'host-local', subnet: '10.1.0.0/24' } },
  },
  {
    why: 'ranges that were broken since',
    keys: { mode: 'routed', ipam: { type: 'host-local', dataDir: '/x', ranges: [[]] } },
    want: { mode: 'routed', ipam: { type: 'host-local', dataDir: '/x' } },
  },
  {
    why: 'an MTU that was broken since: the bridge is still to be taken away',
    keys: { mode: 'bridge', bridge: 'br1', dataDir: '/y', mtu: -1, ipMasq: 'yes' },
    want: { mode: 'bridge', bridge: 'br1', dataDir: '/y' },
  },
  {
    why: 'a key that says where the record is, itself of the wrong type',
    keys: { dataDir: 5, bridge: ['br1'], ipam: { type: 'host-local', dataDir: 7 } },
    want: { ipam: { type: 'host-local' } },
  },
  {
    why: 'an ipam that is none',
    keys: { ipam: 'host-local', mode: 'bridge' },
    want: { mode: 'bridge' },
  },
  {
    why: 'a mode that nobody knows: nothing but the name can be relied on',
    keys: { mode: 'macvlan', dataDir: '/y' },
    want: {},
  },
]) {
  test(`DEL reads ${why}`, async (t) => t.strictSame(read(keys), { ...least, ...want }))
}

for (const { why, text, code } of [
  { why: 'no JSON', text: '{', code: 6 },
  { why: 'a version of another time', text: '{"cniVersion":"9.0.0","name":"net"}', code: 1 },
  { why: 'no name to look for', text: '{"mtu":-1}', code: 7 },
]) {
  test(`DEL refuses ${why}`, async (t) =>
    t.equal(faultOf(() => parseConfigForDel(text)).code, code))
}

test('whatever became of the keys, DEL goes on under the network’s name', async (t) => {
  const keys = fc.constantFrom('mode', 'bridge', 'dataDir', 'ipam', 'mtu', 'args', 'dns', 'vlan')
  const value = fc.oneof(fc.jsonValue(), fc.constantFrom('bridge', '/x', { type: 'host-local' }))
  const property = fc.property(fc.dictionary(keys, value), (some) => {
    const text = JSON.stringify({ ...some, name: 'net' })
    const config = parseConfigForDel(text)
    if (config.name !== 'net' || config.cniVersion !== '0.1.0') throw new Error(text)
    const strict = faultOrResult(() => parseConfig(text))
    const isSame = JSON.stringify(config) === JSON.stringify('result' in strict && strict.result)
    if ('result' in strict && !isSame) throw new Error(`other than for ADD: ${text}`)
  })
  holds(t, property, 500)
})
