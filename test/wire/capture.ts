// Makes the files of test/golden/ anew: `node test/wire/capture.ts`, as root, with strace.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeNetns, type Netns, run } from '../support/netns.ts'
import { goldenFile, typesOf } from './golden.ts'
import { type Before, type Recipe, recipes } from './recipes.ts'

/** Runs a recipe in namespaces of its own; the datagram that it keeps, sequence numbers zeroed. */
export function capture(recipe: Recipe): Uint8Array {
  const netns = makeNetns('golden')
  const pod = makeNetns('golden-pod')
  const folder = mkdtempSync(join(tmpdir(), 'tt-golden-'))
  try {
    for (const step of recipe.before ?? []) prepare(netns, folder, step)
    const trace = strace(netns, pod, folder, recipe)
    const kept = datagramsOf(trace).filter((one) => typesOf(one).includes(recipe.keep))
    const found = kept.at(recipe.last ? -1 : 0)
    if (found === undefined) throw new Error(`Cannot find the message of ${recipe.name}:\n${trace}`)
    return withoutSequence(found)
  } finally {
    netns.close()
    pod.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

function prepare(netns: Netns, folder: string, step: Before): void {
  if ('ip' in step || 'tc' in step || 'bridge' in step) {
    const [tool = '', lines = []] = Object.entries(step)[0] ?? []
    const input = `${lines.join('\n')}\n`
    expect(run([tool, '-n', netns.name, '-batch', '-'], { input }), input)
  } else {
    writeFileSync(join(folder, 'before.nft'), step.nft)
    expect(netns.exec(['nft', '-f', join(folder, 'before.nft')]), step.nft)
  }
}

function strace(netns: Netns, pod: Netns, folder: string, recipe: Recipe): string {
  const script = join(folder, 'script.nft')
  writeFileSync(script, recipe.script ?? '')
  const trace = join(folder, 'trace')
  const calls =
    recipe.way === 'sent'
      ? ['-e', 'trace=sendmsg,sendto', '-e', 'write=all']
      : ['-e', 'trace=recvmsg,recvfrom', '-e', 'read=all']
  const command = recipe.command.replace('POD', pod.name).replace('FILE', script)
  // a reply may be a refusal, so that the command's exit says nothing
  netns.exec(['strace', '-qq', '-o', trace, ...calls, 'sh', '-c', `exec ${command}`])
  return readFileSync(trace, 'utf8')
}

/** strace's hex dumps, one a datagram: lines " | 00010  0a 01 …  .... |". */
function datagramsOf(trace: string): readonly Buffer[] {
  const dumps: string[] = []
  for (const line of trace.split('\n')) {
    const [, offset, bytes] = /^ \| ([0-9a-f]{5,}) {2}((?:[0-9a-f]{2} {1,2})+)/.exec(line) ?? []
    if (offset === undefined || bytes === undefined) continue
    if (Number.parseInt(offset, 16) === 0) dumps.push('')
    dumps.push(`${dumps.pop() ?? ''}${bytes.replaceAll(' ', '')}`)
  }
  return dumps.map((dump) => wholeMessages(Buffer.from(dump, 'hex')))
}

/** iproute2 sends some dump requests with the unused rest of their buffer behind them. */
function wholeMessages(datagram: Buffer): Buffer {
  let end = 0
  while (end + 16 <= datagram.length && datagram.readUInt32LE(end) >= 16)
    end += (datagram.readUInt32LE(end) + 3) & ~3
  return datagram.subarray(0, end)
}

/** Sequence numbers and port ids tell runs apart, and nothing else. */
function withoutSequence(datagram: Buffer): Buffer {
  const bytes = Buffer.from(datagram)
  for (let at = 0; at + 16 <= bytes.length; ) {
    bytes.fill(0, at + 8, at + 16)
    const isRefusal = bytes.readUInt16LE(at + 4) === 2
    if (isRefusal) bytes.fill(0, at + 20 + 8, at + 20 + 16)
    at += (bytes.readUInt32LE(at) + 3) & ~3
  }
  return bytes
}

const wanted = (name: string): boolean =>
  process.argv.length <= 2 || process.argv.slice(2).includes(name)

function expect({ code, stderr }: { code: number; stderr: string }, what: string): void {
  if (code !== 0) throw new Error(`Cannot run ${what}: ${stderr}`)
}

/** The command, what ran it, then the bytes, sixteen a line. */
function textOf(recipe: Recipe, bytes: Uint8Array): string {
  const tool = recipe.command.startsWith('nft') ? ['nft', '--version'] : ['ip', '-V']
  const version = /(nftables v|iproute2-)[\d.]+\d/.exec(run(tool).stdout)?.[0]
  const words = [...bytes].map((byte) => byte.toString(16).padStart(2, '0'))
  const rows = Array.from({ length: Math.ceil(words.length / 16) }, (_, row) =>
    words.slice(row * 16, row * 16 + 16).join(' '),
  )
  const before = (recipe.before ?? []).flatMap((step) =>
    'nft' in step
      ? step.nft.trim().split('\n')
      : Object.entries(step).flatMap(([tool, lines]) => lines.map((line) => `${tool} ${line}`)),
  )
  const comment = [
    ...(before.length > 0 ? ['before:', ...before.map((line) => `  ${line}`)] : []),
    `${recipe.way} by: strace -e trace=… -e ${recipe.way === 'sent' ? 'write' : 'read'}=all`,
    `  ${recipe.command}`,
    ...(recipe.script ?? '').split('\n').map((line) => (line === '' ? '' : `    ${line}`)),
    `${version}, Linux ${release().split('.').slice(0, 2).join('.')}; sequence numbers are zeroed`,
  ]
  const lines = comment.filter((line) => line !== '').flatMap(folded)
  return [...lines.map((line) => `# ${line}`), ...rows, ''].join('\n')
}

const columnsMax = 96
/** A long command goes on in the next line, as in a shell. */
function folded(line: string): readonly string[] {
  if (line.length <= columnsMax) return [line]
  const cut = line.lastIndexOf(' ', columnsMax - 2)
  return [`${line.slice(0, cut)} \\`, ...folded(`      ${line.slice(cut + 1)}`)]
}

// names on the command line make only these
if (import.meta.main)
  for (const recipe of recipes.filter(({ name }) => wanted(name)))
    writeFileSync(goldenFile(recipe.name), textOf(recipe, capture(recipe)))
