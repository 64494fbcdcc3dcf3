// Node agents on one API with many nodes: Tulle's, and Flannel's from its Go module. Runs in a
// network namespace of its own (scripts/bench), which is the underlay.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { ApiServer } from '../../support/api-server.ts'
import { keyOf } from '../../support/api-store.ts'
import { Progress } from '../progress.ts'
import { median } from '../statistics.ts'
import { colourPaint, plainPaint } from '../table.ts'
import { programByHand } from './batch.ts'
import { apiPort, type Contender, flannel, tulle } from './contender.ts'
import { nodeObject } from './fleet.ts'
import { type Figures, measureAgent, type Plan } from './measure.ts'
import { formatNodes, judge, type NodesRun } from './report.ts'
import { makeUnderlay } from './underlay.ts'

const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, json: { type: 'boolean' }, nodes: { type: 'string' } },
})

const plan: Plan = values.quick
  ? { nodes: 500, changes: 20, idleSeconds: 3, noiseSeconds: 5, noisePerSecond: 50 }
  : {
      nodes: Number(values.nodes ?? 5_000),
      changes: 200,
      idleSeconds: 20,
      noiseSeconds: 30,
      noisePerSecond: 50,
    }
const batchRounds = values.quick ? 2 : 5

async function main(): Promise<NodesRun> {
  const folder = mkdtempSync(join(tmpdir(), 'tulle-bench-nodes-'))
  const progress = new Progress(process.stderr, () => performance.now())
  const underlay = makeUnderlay()
  const api = new ApiServer()
  try {
    progress.begin(`nodes: ${plan.nodes} by ip -batch, ${batchRounds} rounds`)
    const batchMs = median(Array.from({ length: batchRounds }, () => programByHand(plan.nodes)))
    progress.begin("nodes: building Flannel's VXLAN backend from its module")
    const file = buildFlannel(folder)
    await api.listen({ host: underlay.address, port: apiPort })
    const contenders: readonly Contender[] = [
      tulle(underlay.join('tulle'), underlay.address, folder),
      ...(typeof file === 'string'
        ? [flannel(underlay.join('flannel'), underlay.address, folder, file)]
        : []),
    ]
    const figures: { name: string; figures: Figures }[] = []
    for (const contender of contenders) {
      fill(api, contenders)
      const begin = (text: string): void => progress.begin(`nodes: ${contender.name}: ${text}`)
      figures.push({
        name: contender.name,
        figures: await measureAgent(contender, api, plan, begin),
      })
    }
    const missing = typeof file === 'string' ? [] : [`flannel: ${file.missing}`]
    const run = { plan, batchMs, contenders: figures, missing }
    return { ...run, targets: judge(run) }
  } finally {
    progress.close()
    await api.stop()
    underlay.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The same cluster for each: its fleet, and the nodes under measurement. */
function fill(api: ApiServer, contenders: readonly Contender[]): void {
  for (const { object } of api.store.list('/nodes')) api.store.delete('/nodes', keyOf(object))
  api.store.compact()
  for (let n = 0; n < plan.nodes; n++) api.store.put('/nodes', nodeObject(`fleet-${n}`, n))
  for (const [at, { node }] of contenders.entries()) {
    const object = nodeObject(node.name, 20_000 + at, node.address)
    const { metadata, ...rest } = object as { metadata: { name: string } }
    // Flannel can't write to a Node that has no annotations at all.
    const annotations = { 'node.alpha.kubernetes.io/ttl': '0' }
    api.store.put('/nodes', { ...rest, metadata: { name: metadata.name, annotations } })
  }
}

function buildFlannel(folder: string): string | { readonly missing: string } {
  const source = fileURLToPath(new URL('../../peers/flanneld', import.meta.url))
  const file = join(folder, 'flanneld')
  const words = ['build', '-trimpath', '-o', file, '.']
  const done = spawnSync('go', words, { cwd: source, encoding: 'utf8', timeout: 600_000 })
  if (done.status === 0) return file
  return { missing: done.error?.message ?? done.stderr.split('\n').slice(0, 3).join(' ') }
}

const run = await main()
if (values.json) process.stdout.write(`${JSON.stringify(run, undefined, 2)}\n`)
else {
  const isTerminal = process.stdout.isTTY && !process.env.NO_COLOR
  process.stdout.write(formatNodes(run, isTerminal ? colourPaint : plainPaint))
}
process.exit(0)
