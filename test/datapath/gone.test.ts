import t from 'tap'
import { goneSince, remainsIn, type Sight } from '../../src/datapath/gone.ts'

const id = { network: 'net', container: 'c1', ifname: 'eth0' }
const link = 'tul0123456789a'
const calm: Sight = {
  attachments: [{ ...id, link }],
  extras: [],
  delegates: [],
  holders: [id],
  links: new Set(['lo', link]),
  busy: new Set(),
  isEarlierBoot: false,
}
const noLinks = { links: new Set(['lo']) }
const gone = { ...id, plugins: ['tulle'], link, why: 'no-link' }

for (const { why, sight, want } of [
  { why: 'its host end is there', sight: {}, want: [] },
  { why: 'its host end is missing', sight: noLinks, want: [gone] },
  {
    why: 'its host end is missing, and an ADD is at work on it',
    sight: { ...noLinks, busy: new Set(['c1']) },
    want: [],
  },
  {
    why: 'of an earlier boot, where another pod has its link name by chance',
    sight: { isEarlierBoot: true },
    want: [{ ...gone, why: 'earlier-boot' }],
  },
  {
    why: 'with what chained plugins gave it: each takes its own away, the maker last',
    sight: { ...noLinks, extras: [{ ...id, plugin: 'portmap', hostLink: link }] },
    want: [{ ...gone, plugins: ['portmap', 'tulle'] }],
  },
  {
    why: 'made by another plugin, with host ports of ours; its veth is gone',
    sight: { attachments: [], holders: [], extras: [{ ...id, plugin: 'portmap', hostLink: 'v1' }] },
    want: [{ ...gone, plugins: ['portmap'], link: 'v1' }],
  },
  {
    why: 'made by another plugin without a veth: nobody can tell',
    sight: { attachments: [], holders: [], extras: [{ ...id, plugin: 'tuning', hostLink: null }] },
    want: [],
  },
  {
    why: 'an address that another plugin asked for: nobody can tell',
    sight: { attachments: [] },
    want: [],
  },
  {
    why: 'an address that another plugin asked for before the boot',
    sight: { attachments: [], isEarlierBoot: true },
    want: [{ ...gone, plugins: ['host-local'], link: null, why: 'earlier-boot' }],
  },
  {
    why: 'made through flannel: by its name first, as it kept the configuration',
    sight: { ...noLinks, delegates: [id] },
    want: [{ ...gone, plugins: ['flannel', 'tulle'] }],
  },
  {
    why: 'one of two links is there: it lives',
    sight: { links: new Set([link]), extras: [{ ...id, plugin: 'portmap', hostLink: 'v1' }] },
    want: [],
  },
  {
    why: 'a lease of old host-local without interface name, which no DEL can name',
    sight: { attachments: [], holders: [{ ...id, ifname: '' }], isEarlierBoot: true },
    want: [],
  },
]) {
  t.test(`a record: ${why}`, async (t) => t.same(remainsIn({ ...calm, ...sight }), want))
}

t.test('gone is who was gone before too', async (t) => {
  const now = remainsIn({ ...calm, ...noLinks })
  t.same(goneSince([], now), [], 'seen once')
  t.same(goneSince(now, now), now, 'seen twice')
  t.same(goneSince(now, []), [], 'back, or taken away by somebody')
  const other = now.map((one) => ({ ...one, link: 'tulffffffffff' }))
  t.same(goneSince(other, now), [], 'another attachment under its name')
  const boot = remainsIn({ ...calm, isEarlierBoot: true })
  t.same(goneSince([], boot), boot, 'a boot needs no second look')
})
