import { writeFileSync } from 'node:fs'
import { test } from 'tap'
import { readResolvConf } from '../../src/store/resolv-conf.ts'
import { withFolder } from './folder.ts'

// resolv.conf(5)
for (const { why, text, want } of [
  { why: 'an empty file', text: '', want: {} },
  {
    why: 'every keyword',
    text:
      'nameserver 10.96.0.10\nnameserver fd00::10\ndomain d\nsearch a b\n' +
      'options ndots:5 rotate\n',
    want: {
      nameservers: ['10.96.0.10', 'fd00::10'],
      domain: 'd',
      search: ['a', 'b'],
      options: ['ndots:5', 'rotate'],
    },
  },
  { why: 'the last search counts', text: 'search a b\nsearch c\n', want: { search: ['c'] } },
  { why: 'the last domain counts', text: 'domain a\ndomain b\n', want: { domain: 'b' } },
  {
    why: 'options add up',
    text: 'options ndots:5\noptions timeout:1 rotate\n',
    want: { options: ['ndots:5', 'timeout:1', 'rotate'] },
  },
  {
    why: 'comments of both kinds',
    text: '# nameserver 1.1.1.1\n; search x\nnameserver 10.0.0.1\n',
    want: { nameservers: ['10.0.0.1'] },
  },
  { why: 'tabs and blanks', text: '\tsearch \t a\t b  \n', want: { search: ['a', 'b'] } },
  {
    why: 'CRLF',
    text: 'nameserver 10.0.0.1\r\nsearch a\r\n',
    want: { nameservers: ['10.0.0.1'], search: ['a'] },
  },
  { why: 'no newline at the end', text: 'domain d', want: { domain: 'd' } },
  { why: 'a keyword alone', text: 'nameserver\ndomain\nsearch\noptions\n', want: {} },
  {
    why: 'a zone',
    text: 'nameserver fe80::1%eth0\n',
    want: { nameservers: ['fe80::1%eth0'] },
  },
  {
    why: 'keywords that a result has no place for',
    text: 'sortlist 10.0.0.0\nfamily inet4\n',
    want: {},
  },
  { why: 'words that only begin as a keyword', text: 'nameservers 10.0.0.1\nSearch a\n', want: {} },
]) {
  test(`resolv.conf: ${why}`, async (t) =>
    withFolder((folder) => {
      writeFileSync(`${folder}/resolv.conf`, text)
      t.strictSame(readResolvConf(`${folder}/resolv.conf`), want)
    }))
}

test('a file that is not there is told of', async (t) =>
  t.throws(() => readResolvConf('/proc/none'), { code: 'ENOENT' }))
