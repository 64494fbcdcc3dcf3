import fc from 'fast-check'
import { test } from 'tap'
import { LineSplitter, lineBytesMax } from '../../src/kube/line-splitter.ts'
import { holds } from '../base/law.ts'

function split(pieces: readonly Buffer[]): readonly string[] {
  const lines: string[] = []
  const splitter = new LineSplitter((line) => lines.push(line))
  for (const piece of pieces) splitter.push(piece)
  return lines
}

test('lines are what they were, however the stream is cut', async (t) => {
  const line = fc.stringMatching(/^[^\n]*$/, { maxLength: 20 })
  const given = fc.record({ lines: fc.array(line), bytes: fc.integer({ min: 1, max: 30 }) })
  const property = fc.property(given, ({ lines, bytes }) => {
    const all = Buffer.from(lines.map((one) => `${one}\n`).join(''))
    const count = Math.ceil(all.length / bytes)
    const pieces = Array.from({ length: count }, (_, at) =>
      all.subarray(at * bytes, (at + 1) * bytes),
    )
    return split(pieces).join('\n') === lines.filter((one) => one !== '').join('\n')
  })
  return holds(t, property)
})

test('a line without its end is none', async (t) =>
  t.same(split([Buffer.from('one\ntwo')]), ['one']))

test('a line of 8 MiB in small pieces is joined once; a longer one is refused', async (t) => {
  const piece = Buffer.alloc(1024, 'x')
  const pieces = Array.from({ length: lineBytesMax / piece.length }, () => piece)
  t.equal(split([...pieces, Buffer.from('\n')])[0]?.length, lineBytesMax)
  t.throws(() => split([...pieces, Buffer.from('x')]), { message: /longer than 8388608 bytes/ })
})
