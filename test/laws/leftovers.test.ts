import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { makeNetns, type Netns } from '../support/netns.ts'

const module = fileURLToPath(new URL('../../scripts/leftovers.ts', import.meta.url))
const script = `import { tracesOf } from '${module}'
console.log(JSON.stringify([...(await tracesOf())]))`

/** What the check at the end of a test run would find, were this namespace the machine's own. */
function tracesIn(netns: Netns): readonly string[] {
  const ran = netns.exec([process.execPath, '--input-type=module', '-e', script])
  if (ran.code !== 0) throw new Error(`Cannot look for leftovers: ${ran.stderr}`)
  return JSON.parse(ran.stdout) as readonly string[]
}

test('leftovers: what carries our mark is found, and nothing else', async (t) => {
  const netns = makeNetns('leftovers')
  t.teardown(() => netns.close())
  netns.ip('link', 'add', 'eth9', 'type', 'veth', 'peer', 'name', 'tul01234567890')
  netns.ip('link', 'add', 'cni0', 'type', 'bridge')
  netns.ip('link', 'add', 'cni1', 'type', 'bridge')
  netns.ip('link', 'set', 'cni1', 'alias', 'tulle1 bridge')
  for (const table of ['inet tulle', 'bridge tulle', 'inet filter']) {
    const made = netns.exec(['nft', 'add', 'table', ...table.split(' ')])
    t.equal(made.code, 0, made.stderr)
  }
  const traces = tracesIn(netns)
  t.same(traces.filter((trace) => !trace.startsWith('network namespace ')).sort(), [
    'link cni1',
    'link tul01234567890',
    'nftables table bridge tulle',
    'nftables table inet tulle',
  ])
  t.ok(traces.includes(`network namespace ${netns.name}`), 'and the namespace itself')
})

test('leftovers: a namespace without them is clean', async (t) => {
  const netns = makeNetns('leftovers')
  t.teardown(() => netns.close())
  t.same(
    tracesIn(netns).filter((trace) => !trace.startsWith('network namespace ')),
    [],
  )
})
