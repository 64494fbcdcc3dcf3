import { test } from 'tap'
import { code, fault, formatFault } from '../../src/cni/fault.ts'
import {
  formatVersions,
  isAtLeast,
  isVersion,
  parseVersion,
  versions,
} from '../../src/cni/version.ts'
import { faultOf } from '../support/fault-of.ts'

// Every release of the specification that is tagged upstream, in their order.
const released = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0']

test('every released version is known, and no other', async (t) => {
  t.strictSame([...versions], released)
  for (const version of released) t.ok(isVersion(version), version)
  for (const text of ['', '0.3', '1.0', '1.1', '1.2.0', 'v1.0.0', ' 1.0.0', '01.0.0'])
    t.notOk(isVersion(text), JSON.stringify(text))
})

for (const { why, input, want } of [
  { why: 'in the version that asked', input: '{"cniVersion":"0.4.0"}', want: '0.4.0' },
  { why: 'in the newest where none asked', input: '{}', want: '1.1.0' },
  {
    why: 'in the newest where one asked that we do not know',
    input: '{"cniVersion":"9.0.0"}',
    want: '1.1.0',
  },
  { why: 'in the newest where a number asked', input: '{"cniVersion":1}', want: '1.1.0' },
  { why: 'to a person, who sends nothing', input: '', want: '1.1.0' },
  { why: 'to what is not JSON', input: '{', want: '1.1.0' },
  { why: 'to null', input: 'null', want: '1.1.0' },
  { why: 'to a list', input: '["cniVersion"]', want: '1.1.0' },
]) {
  test(`VERSION answers ${why}`, async (t) =>
    t.equal(
      formatVersions(input),
      `{"cniVersion":"${want}","supportedVersions":` +
        '["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}',
    ))
}

test('versions compare by their numbers', async (t) => {
  const weight = (text: string): number =>
    text.split('.').reduce((sum, part) => sum * 1000 + Number(part), 0)
  for (const left of versions)
    for (const right of versions)
      t.equal(isAtLeast(left, right), weight(left) >= weight(right), `${left} and ${right}`)
})

for (const { why, value, want } of [
  { why: 'the key is older than 0.1.0 is', value: undefined, want: '0.1.0' },
  { why: 'empty is absent', value: '', want: '0.1.0' },
  { why: 'null is absent', value: null, want: '0.1.0' },
  { why: 'itself', value: '0.3.1', want: '0.3.1' },
]) {
  test(`cniVersion ${JSON.stringify(value)}: ${why}`, async (t) =>
    t.equal(parseVersion(value), want))
}

for (const value of ['1.2.0', '1.0', 'latest', 1, true, ['1.0.0'], {}, '1.0.0 ']) {
  test(`cniVersion ${JSON.stringify(value)} is refused, with both sides named`, async (t) => {
    const refused = faultOf(() => parseVersion(value))
    t.equal(refused.code, 1)
    t.equal(refused.message, 'incompatible CNI versions')
    t.equal(
      refused.details,
      `config is ${JSON.stringify(value)}, plugin supports ${JSON.stringify(released)}`,
    )
  })
}

test('a fault is printed as the error object of the specification', async (t) => {
  const { fault: refused, message } = fault(7, 'no "such"\nthing', 'name is "x"; use another')
  t.equal(
    formatFault('0.4.0', refused),
    '{"cniVersion":"0.4.0","code":7,"msg":"no \\"such\\"\\nthing",' +
      '"details":"name is \\"x\\"; use another"}',
  )
  t.equal(message, 'no "such"\nthing: name is "x"; use another')
})

test('codes are those of the specification, libcni’s 8, and from 100 on our own', async (t) => {
  const { bug: _, ...told } = code
  t.strictSame(
    Object.values(told),
    [1, 2, 3, 4, 5, 6, 7, 8, 11, 50, 51, 100, 101, 102, 103, 104, 105, 106],
  )
  t.notOk(Object.values<number>(code).includes(999))
})
