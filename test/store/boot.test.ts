import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { bootMilliseconds, lifeStamp } from '../../src/store/boot.ts'

const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()

test('a life is a boot, and a namespace in it', async (t) => {
  t.match(bootId, /^[0-9a-f-]{36}$/)
  t.equal(lifeStamp(4711n), `${bootId} 4711`)
  t.equal(lifeStamp(2n ** 64n - 1n), `${bootId} 18446744073709551615`, 'cookies have 64 bits')
  t.not(lifeStamp(1n), lifeStamp(2n))
  t.equal(lifeStamp(undefined), `${bootId} unknown`, 'before Linux 5.14 there are no cookies')
})

test('the boot was as long ago as the uptime says', async (t) => {
  const uptimeSeconds = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])
  const ago = (Date.now() - bootMilliseconds()) / 1000
  t.ok(Math.abs(ago - uptimeSeconds) < 3, `${ago} s, ${uptimeSeconds} s`)
  t.equal(bootMilliseconds() % 1000, 0)
})
