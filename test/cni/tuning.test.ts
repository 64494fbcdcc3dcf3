import fc from 'fast-check'
import { test } from 'tap'
import { parseConfig } from '../../src/cni/config.ts'
import { readTuning } from '../../src/cni/tuning.ts'
import { holds } from '../base/law.ts'
import { faultOf } from '../support/fault-of.ts'

type Asked = Readonly<{ keys?: object; args?: string; ifname?: string; text?: string }>

function read({ keys = {}, args = '', ifname = 'eth0', text }: Asked) {
  const input = text ?? JSON.stringify({ cniVersion: '1.0.0', name: 'net', ...keys })
  const pairs =
    args === '' ? [] : args.split(';').map((pair) => pair.split('=') as [string, string])
  return readTuning({
    config: parseConfig(input),
    environment: { args: new Map(pairs), ifname },
    input,
  })
}

const nothing = {
  sysctls: [],
  mac: undefined,
  mtuBytes: undefined,
  promisc: undefined,
  allmulti: undefined,
  txQueueLength: undefined,
}
const macs = ['0a:00:00:00:00:01', '0a:00:00:00:00:02', '0a:00:00:00:00:03', '0a:00:00:00:00:04']
const [ofConfig, ofArgs, ofRuntime, ofCni] = macs as [string, string, string, string]

for (const { why, asked, want } of [
  { why: 'nothing', asked: {}, want: {} },
  { why: 'what asks for nothing', asked: { keys: { promisc: false, mtu: 0, mac: '' } }, want: {} },
  {
    why: 'every key',
    asked: { keys: { mac: ofConfig, mtu: 1400, promisc: true, allmulti: true, txQLen: 9 } },
    want: { mac: ofConfig, mtuBytes: 1400, promisc: true, allmulti: true, txQueueLength: 9 },
  },
  {
    why: 'off, and an empty queue, are settings as well',
    asked: { keys: { allmulti: false, txQLen: 0 } },
    want: { allmulti: false, txQueueLength: 0 },
  },
  {
    why: 'CNI_ARGS over the configuration',
    asked: { keys: { mac: ofConfig }, args: `MAC=${ofArgs}` },
    want: { mac: ofArgs },
  },
  {
    why: 'the capability over CNI_ARGS',
    asked: { keys: { runtimeConfig: { mac: ofRuntime } }, args: `MAC=${ofArgs}` },
    want: { mac: ofRuntime },
  },
  {
    why: 'args.cni over all',
    asked: {
      keys: {
        ...{ mac: ofConfig, mtu: 1400, promisc: true, allmulti: true, txQLen: 9 },
        runtimeConfig: { mac: ofRuntime },
        args: { cni: { mac: ofCni, mtu: 1300, promisc: false, allmulti: false, txQLen: 8 } },
      },
      args: `MAC=${ofArgs}`,
    },
    want: { mac: ofCni, mtuBytes: 1300, allmulti: false, txQueueLength: 8 },
  },
  {
    why: 'args.cni takes back',
    asked: { keys: { mac: ofConfig, mtu: 1400, args: { cni: { mac: '', mtu: 0 } } } },
    want: {},
  },
  {
    why: 'an empty MAC of a runtime that has none',
    asked: { keys: { mac: ofConfig, runtimeConfig: { mac: '' } } },
    want: { mac: ofConfig },
  },
  {
    why: 'a MAC in capitals and hyphens, as the kernel shows it',
    asked: { keys: { mac: '0A-00-00-00-00-0F' } },
    want: { mac: '0a:00:00:00:00:0f' },
  },
])
  test(`tuning: ${why}`, async (t) => {
    t.strictSame(read(asked), { ...nothing, ...want })
  })

const pathOf = (key: string, ifname = 'eth0'): string | undefined =>
  read({ keys: { sysctl: { [key]: '1' } }, ifname }).sysctls[0]?.path

for (const { why, key, ifname, want } of [
  { why: 'dots', key: 'net.core.somaxconn', want: 'net/core/somaxconn' },
  { why: 'slashes', key: 'net/core/somaxconn', want: 'net/core/somaxconn' },
  { why: 'both', key: 'net/ipv4.tcp_syncookies', want: 'net/ipv4/tcp_syncookies' },
  { why: 'too many', key: '/net..core//somaxconn.', want: 'net/core/somaxconn' },
  {
    why: 'the interface',
    key: 'net.ipv4.conf.IFNAME.rp_filter',
    want: 'net/ipv4/conf/eth0/rp_filter',
  },
  {
    why: 'an interface whose name has a dot, which is no separator',
    key: 'net.ipv4.conf.IFNAME.rp_filter',
    ifname: 'eth0.100',
    want: 'net/ipv4/conf/eth0.100/rp_filter',
  },
  {
    why: 'an interface whose name means something in a replacement text',
    key: 'net.ipv4.conf.IFNAME.rp_filter',
    ifname: 'a$&b',
    want: 'net/ipv4/conf/a$&b/rp_filter',
  },
  {
    why: 'the first IFNAME alone',
    key: 'net.IFNAME.IFNAME',
    want: 'net/eth0/IFNAME',
  },
])
  test(`sysctl key: ${why}`, async (t) => {
    t.equal(pathOf(key, ifname), want)
  })

for (const { why, value, want } of [
  { why: 'text', value: '1', want: '1' },
  { why: 'a number', value: 1, want: '1' },
  { why: 'a number below zero', value: -1, want: '-1' },
  { why: 'words', value: '4096 87380 6291456', want: '4096 87380 6291456' },
  { why: 'words as the kernel parts them', value: '4096\t87380', want: '4096\t87380' },
  { why: 'nothing', value: '', want: '' },
  { why: '255 bytes', value: 'x'.repeat(255), want: 'x'.repeat(255) },
])
  test(`sysctl value: ${why}`, async (t) => {
    const [found] = read({ keys: { sysctl: { 'net.x': value } } }).sysctls
    t.equal(found?.value, want)
  })

const sysctl = (list: object): Asked => ({ keys: { sysctl: list } })
const cni = (list: object): Asked => ({ keys: { args: { cni: { sysctl: list } } } })
for (const { why, asked, says } of [
  {
    why: 'a sysctl of the node',
    asked: sysctl({ 'kernel.panic': '1' }),
    says: /^sysctl key is "ke/,
  },
  { why: 'the folder itself', asked: sysctl({ net: '1' }), says: /network, such as net.core/ },
  { why: 'what only starts alike', asked: sysctl({ 'netty.x': '1' }), says: /^sysctl key is/ },
  { why: 'an empty key', asked: sysctl({ '': '1' }), says: /^sysctl key is ""/ },
  { why: 'a key with NUL', asked: sysctl({ 'net.x\0': '1' }), says: /^sysctl key is/ },
  { why: 'a key with a newline', asked: sysctl({ 'net.x\n': '1' }), says: /^sysctl key is/ },
  { why: 'a long key', asked: sysctl({ [`net.${'é'.repeat(126)}`]: '1' }), says: /^sysctl key is/ },
  {
    why: 'a value with a newline',
    asked: sysctl({ 'net.x': '1\n2' }),
    says: /^sysctl\["net\.x"\]/,
  },
  { why: 'a value with NUL', asked: sysctl({ 'net.x': '1\0' }), says: /text of one line/ },
  { why: 'a long value', asked: sysctl({ 'net.x': 'é'.repeat(128) }), says: /at most 255 bytes/ },
  { why: 'true', asked: sysctl({ 'net.x': true }), says: /is true; accepted: text/ },
  { why: 'null', asked: sysctl({ 'net.x': null }), says: /is null; accepted: text/ },
  { why: 'half a number', asked: sysctl({ 'net.x': 0.5 }), says: /or a whole number/ },
  { why: 'a number that JSON rounds', asked: sysctl({ 'net.x': 2 ** 60 }), says: /a whole number/ },
  { why: 'of args.cni', asked: cni({ 'kernel.x': '1' }), says: /^args\.cni\.sysctl key is/ },
  { why: 'a MAC', asked: { keys: { mac: 'x' } }, says: /^mac is "x"; accepted: a unicast MAC/ },
  { why: 'a multicast MAC', asked: { args: 'MAC=01:00:5e:00:00:01' }, says: /^CNI_ARGS MAC is/ },
  {
    why: 'one sysctl twice, in two spellings',
    asked: sysctl({ 'net.x': '1', 'net/x': '2' }),
    says: /^sysctl has "net\.x" and "net\/x"/,
  },
  {
    why: 'one sysctl twice, once as IFNAME',
    asked: cni({ 'net.IFNAME.x': '1', 'net.eth0.x': '1' }),
    says: /^args\.cni\.sysctl has "net\.IFNAME\.x" and "net\.eth0\.x"/,
  },
  {
    why: 'one sysctl twice, in one spelling, which JSON.parse hides',
    asked: { text: '{"name": "net", "Sysctl": {"net.x": "1", "net.y": "1", "net.\\u0078": "2"}}' },
    says: /^sysctl has "net\.x" and "net\.x"/,
  },
])
  test(`tuning refused: ${why}`, async (t) => {
    const fault = faultOf(() => read(asked))
    t.equal(fault.code, 7)
    t.match(fault.details, says)
  })

test('args.cni has its own word on a sysctl, in any spelling', async (t) => {
  const keys = {
    sysctl: { 'net.x': '1', 'net.y': '1' },
    args: { cni: { sysctl: { 'net/x': '2', 'net/z': '3' } } },
  }
  const found = read({ keys }).sysctls.map(({ path, value }) => `${path}=${value}`)
  t.same(found, ['net/x=2', 'net/y=1', 'net/z=3'])
})

test('whatever the key: a path under net, which nothing leads out of', async (t) => {
  const word = fc.constantFrom('net', '..', '.', '/', 'IFNAME', 'kernel', 'x', '\n', 'é')
  const key = fc.array(word, { maxLength: 8 }).map((words) => words.join(''))
  holds(
    t,
    fc.property(fc.oneof(key, fc.string()), (text) => {
      let path: string | undefined
      try {
        path = pathOf(text)
      } catch {
        return true
      }
      const words = path?.split('/') ?? []
      return words[0] === 'net' && words.length > 1 && !words.some((one) => /^\.{0,2}$/.test(one))
    }),
  )
})
