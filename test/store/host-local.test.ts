import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { test } from 'tap'
import { formatAddress, parseAddress } from '../../src/base/address.ts'
import { directoryStamp, readHostLocal, unlinkHostLocal } from '../../src/store/host-local.ts'
import { withFolder } from './folder.ts'

const read = (folder: string, boot = 0): readonly string[] =>
  readHostLocal(folder, boot)
    .map(({ address, container, ifname }) => `${formatAddress(address)} ${container} ${ifname}`)
    .sort()

// Contents as reference host-local writes them (backend/disk), and what editors make of them.
for (const { why, name, text, want } of [
  { why: 'today’s', name: '10.1.0.5', text: 'c1\r\neth0', want: ['10.1.0.5 c1 eth0'] },
  { why: 'IPv6', name: 'fd00::5', text: 'c1\r\neth0', want: ['fd00::5 c1 eth0'] },
  { why: 'before 0.8: the container alone', name: '10.1.0.5', text: 'c1', want: ['10.1.0.5 c1 '] },
  { why: 'LF', name: '10.1.0.5', text: 'c1\neth0', want: ['10.1.0.5 c1 eth0'] },
  { why: 'an end of line', name: '10.1.0.5', text: 'c1\r\neth0\r\n', want: ['10.1.0.5 c1 eth0'] },
  { why: 'blanks about', name: '10.1.0.5', text: '  c1 \r\n eth0 ', want: ['10.1.0.5 c1 eth0'] },
  { why: 'legacy with blanks', name: '10.1.0.5', text: ' c1\n', want: ['10.1.0.5 c1 '] },
  { why: 'empty, after a power cut', name: '10.1.0.5', text: '', want: [] },
  { why: 'blanks alone', name: '10.1.0.5', text: ' \r\n', want: [] },
  { why: 'the cursor of host-local', name: 'last_reserved_ip.0', text: '10.1.0.5', want: [] },
  { why: 'its lock', name: 'lock', text: '', want: [] },
  { why: 'an address in octal', name: '010.1.0.5', text: 'c1\r\neth0', want: [] },
  { why: 'an editor’s copy', name: '10.1.0.5~', text: 'c1\r\neth0', want: [] },
]) {
  test(`${name}: ${why}`, async (t) =>
    withFolder((folder) => {
      writeFileSync(`${folder}/${name}`, text)
      t.strictSame(read(folder), want)
    }))
}

test('what was written before the node came up belongs to no pod that lives', async (t) =>
  withFolder((folder) => {
    const boot = 1_700_000_000_000
    for (const [name, milliseconds] of [
      ['10.1.0.2', boot - 1],
      ['10.1.0.3', boot],
      ['10.1.0.4', boot + 60_000],
    ] as const) {
      writeFileSync(`${folder}/${name}`, 'c1\r\neth0')
      utimesSync(`${folder}/${name}`, milliseconds / 1000, milliseconds / 1000)
    }
    t.strictSame(read(folder, boot), ['10.1.0.3 c1 eth0', '10.1.0.4 c1 eth0'])
  }))

test('a folder with the name of an address is no lease, and does no harm', async (t) =>
  withFolder((folder) => {
    mkdirSync(`${folder}/10.1.0.9`)
    writeFileSync(`${folder}/10.1.0.5`, 'c1\r\neth0')
    t.strictSame(read(folder), ['10.1.0.5 c1 eth0'])
  }))

test('the stamp changes with the leases, and there is none without a folder', async (t) =>
  withFolder((folder) => {
    const none = `${folder}/none`
    t.equal(directoryStamp(none), undefined)
    mkdirSync(none)
    const stamps = [directoryStamp(none)]
    // a second each: a file system may count in ticks of 4 or 10 ms
    for (const seconds of [1, 2]) {
      writeFileSync(`${none}/10.1.0.${seconds}`, 'c1')
      utimesSync(none, seconds, seconds)
      stamps.push(directoryStamp(none))
    }
    t.equal(new Set(stamps).size, 3, stamps.join(', '))
    t.equal(directoryStamp(none), stamps[2], 'and not by being asked for')
    writeFileSync(`${folder}/file`, '')
    t.equal(directoryStamp(`${folder}/file`), undefined, 'a file is no folder')
  }))

test('a lease that is given back goes from the folder; one that is gone is no error', async (t) =>
  withFolder((folder) => {
    const address = parseAddress('fd00::5') ?? { family: 6 as const, value: 0n }
    writeFileSync(`${folder}/fd00::5`, 'c1')
    writeFileSync(`${folder}/10.1.0.5`, 'c1')
    unlinkHostLocal(folder, address)
    t.strictSame(readdirSync(folder), ['10.1.0.5'])
    t.doesNotThrow(() => unlinkHostLocal(folder, address))
    t.doesNotThrow(() => unlinkHostLocal(`${folder}/none`, address))
    mkdirSync(`${folder}/fd00::5`)
    t.throws(() => unlinkHostLocal(folder, address), /E(ISDIR|PERM)/, 'other refusals are told')
    t.ok(existsSync(`${folder}/fd00::5`))
  }))
