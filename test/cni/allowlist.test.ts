import { test } from 'tap'
import { refuseUnlisted } from '../../src/cni/allowlist.ts'
import { faultOf } from '../support/fault-of.ts'

for (const { why, list, keys } of [
  { why: 'a line for each', list: '^net.core\nipv4', keys: ['net.core.x', 'net.ipv4.x'] },
  { why: 'anywhere in the key, as Go’s MatchString', list: 'somaxconn', keys: ['net.somaxconn'] },
  { why: 'blanks and empty lines', list: '\n  ^net\\.x$ \r\n\n', keys: ['net.x'] },
  {
    why: 'IFNAME as it is written',
    list: '^net\\.ipv4\\.conf\\.IFNAME\\.[a-z_]*$',
    keys: ['net.ipv4.conf.IFNAME.rp_filter'],
  },
  { why: 'a line with dots for a key with slashes', list: '^net\\.x$', keys: ['net/x'] },
  { why: 'a line with slashes, as the key has them', list: '^net/x$', keys: ['net/x'] },
  { why: 'no sysctl', list: '', keys: [] },
])
  test(`allowed: ${why}`, async (t) => {
    t.doesNotThrow(() => refuseUnlisted(keys, list))
  })

const file = '/etc/cni/tuning/allowlist.conf'
for (const { why, list, keys, says } of [
  {
    why: 'one of two',
    list: '^net\\.x$',
    keys: ['net.x', 'net.y'],
    says: `sysctl "net.y" is matched by no line of ${file}; add one there, or drop the sysctl`,
  },
  { why: 'an empty file', list: '\n', keys: ['net.x'], says: 'sysctl "net.x" is matched by no' },
  { why: 'a dot is a dot where it is escaped', list: 'net\\.x', keys: ['net_x'], says: 'net_x' },
  { why: 'capitals', list: '^NET', keys: ['net.x'], says: 'sysctl "net.x"' },
  { why: 'no expression', list: 'net.(', keys: ['net.x'], says: `${file} has the line "net.("` },
  {
    why: 'what means something else in JavaScript',
    list: '^net\\.[[:alpha:]]+$',
    keys: ['net.x'],
    says: 'a class or an anchor that only Go knows',
  },
  {
    why: 'such a class turned round, among others',
    list: 'net\\.[x[:^digit:]]',
    keys: ['net.x'],
    says: 'a class or an anchor that only Go knows',
  },
  { why: 'flags as Go has them', list: '(?i)NET', keys: ['net.x'], says: 'has the line "(?i)NET"' },
  { why: 'Go’s end of text', list: '^net\\.x\\z', keys: ['net.xz'], says: 'only Go knows' },
])
  test(`not allowed: ${why}`, async (t) => {
    const fault = faultOf(() => refuseUnlisted(keys, list))
    t.equal(fault.code, 7)
    t.match(fault.details, says)
  })
