import fc from 'fast-check'
import { test } from 'tap'
import { parseMac } from '../../src/base/mac.ts'
import {
  hostSettings,
  isNothing,
  isSameSysctl,
  type LinkSettings,
  settingDifferences,
  settingSteps,
  settingsBefore,
} from '../../src/datapath/tuning.ts'
import { IFF_ALLMULTI, IFF_PROMISC, type IfIndex } from '../../src/wire/rtnl/link.ts'
import { holds } from '../base/law.ts'

const mac = '0a:00:00:00:00:01'
const all: LinkSettings = {
  mac,
  promisc: true,
  mtuBytes: 1400,
  allmulti: false,
  txQueueLength: 0,
}
const place = { index: 7 as IfIndex, name: 'eth0' }
const plain = { flags: 0, mtuBytes: 1500, mac: parseMac('0a:00:00:00:00:02'), txQueueLength: 1000 }

test('a step a setting, each with its words', async (t) => {
  t.same(
    settingSteps(place, all).map(({ what }) => what),
    [
      `set the MAC of eth0 to ${mac}`,
      'set the promiscuous mode of eth0 to on',
      'set the MTU of eth0 to 1400',
      'set the all-multicast mode of eth0 to off',
      'set the transmit queue length of eth0 to 0',
    ],
  )
  t.same(settingSteps(place, {}), [])
})

test('the host end follows in MTU and queue, and in nothing else', async (t) => {
  t.same(hostSettings(all), { mtuBytes: 1400, txQueueLength: 0 })
  t.ok(isNothing(hostSettings({ mac, promisc: true, allmulti: true })))
})

test('what was before is asked of what is changed alone', async (t) => {
  t.strictSame(settingsBefore(plain, { promisc: true, txQueueLength: 1 }), {
    promisc: false,
    txQueueLength: 1000,
  })
  t.strictSame(settingsBefore(plain, {}), {})
  const loud = { ...plain, flags: IFF_PROMISC | IFF_ALLMULTI }
  t.strictSame(settingsBefore(loud, { promisc: true, allmulti: true, mac }), {
    mac: '0a:00:00:00:00:02',
    promisc: true,
    allmulti: true,
  })
})

test('differences say what is, and what should be', async (t) => {
  t.same(settingDifferences("pod's eth0", plain, all), [
    "pod's eth0 has MAC 0a:00:00:00:00:02, not 0a:00:00:00:00:01",
    "pod's eth0 has promiscuous mode off, not on",
    "pod's eth0 has MTU 1500, not 1400",
    "pod's eth0 has transmit queue length 1000, not 0",
  ])
  t.same(settingDifferences('eth0', undefined, all), ['eth0 is not there'])
  t.same(settingDifferences('eth0', undefined, {}), [], 'nobody asked for it')
})

test('a link that was set back has no difference from what it was', async (t) => {
  const settings = fc.record(
    {
      mac: fc.constant(mac),
      promisc: fc.boolean(),
      mtuBytes: fc.nat(),
      allmulti: fc.boolean(),
      txQueueLength: fc.nat(),
    },
    { requiredKeys: [] },
  )
  holds(
    t,
    fc.property(settings, (wanted) => {
      const before = settingsBefore(plain, wanted)
      return settingDifferences('eth0', plain, before).length === 0
    }),
  )
})

for (const { why, shown, written, same = true } of [
  { why: 'the same', shown: '1', written: '1' },
  { why: 'another number', shown: '1', written: '2', same: false },
  { why: 'words, which the kernel parts by tabs', shown: '4096\t87380', written: ' 4096  87380 ' },
  { why: 'one word less', shown: '4096\t87380', written: '4096', same: false },
  { why: 'hexadecimal', shown: '16', written: '0x10' },
  { why: 'octal, as C has it', shown: '8', written: '010' },
  { why: 'a plus', shown: '1', written: '+1' },
  { why: 'a minus', shown: '-1', written: '-1' },
  { why: 'minus one is not one', shown: '1', written: '-1', same: false },
  { why: 'nothing', shown: '', written: '' },
  { why: 'text', shown: 'cubic', written: 'cubic' },
  { why: 'text in capitals is another', shown: 'cubic', written: 'Cubic', same: false },
  {
    why: 'an address, which the kernel writes in full',
    shown: '2001:0db8:0000:0000:0000:0000:0000:0001',
    written: '2001:db8::1',
  },
  { why: 'a word that is half a number', shown: '1-2', written: '1-3', same: false },
])
  test(`sysctl values: ${why}`, async (t) => {
    t.equal(isSameSysctl(shown, written), same)
  })
