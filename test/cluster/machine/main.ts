// The front door, run by scripts/cluster.
import { styleText } from 'node:util'
import { bringUp } from './bring-up.ts'
import { Cluster } from './cluster.ts'
import { type Request, readCommandLine, UsageRefusal, usage } from './command-line.ts'
import { places, stateDir } from './places.ts'
import { Progress } from './progress.ts'
import { printStatus } from './status.ts'
import { attach, attachBesideApiServer } from './terminal.ts'

async function main(request: Request): Promise<number> {
  const cluster = new Cluster()
  switch (request.kind) {
    case 'help':
      process.stdout.write(usage)
      return 0
    case 'up':
      refuseSecond(cluster)
      await bringUp(cluster, request, new Progress())
      return 0
    case 'down':
      return takeDown(cluster)
    case 'status':
      return printStatus(cluster)
    case 'kubectl':
      refuseNone(cluster)
      return attachBesideApiServer([`${places.bin}/kubectl`, ...request.words])
    case 'run':
      refuseNone(cluster)
      return attachBesideApiServer(request.words)
    case 'shell': {
      refuseNone(cluster)
      const words = request.words.length > 0 ? request.words : ['sh', '-i']
      return attach(computerOf(cluster, request.name), words)
    }
  }
}

function computerOf(cluster: Cluster, name: string) {
  const found = cluster.computers.find(({ site }) => site.name === name)
  if (found) return found
  const names = cluster.computers.map(({ site }) => site.name).join(', ')
  throw new UsageRefusal(`There is no node "${name}"; there are ${names}`)
}

function refuseSecond(cluster: Cluster): void {
  if (!cluster.exists) return
  const found = cluster.isRunning ? 'A cluster is running' : 'A cluster that broke is'
  throw new UsageRefusal(`${found} in ${stateDir}; take it away by "scripts/cluster down" first`)
}

function refuseNone(cluster: Cluster): void {
  if (cluster.isRunning) return
  const remedy = cluster.exists ? 'down" and then "scripts/cluster up' : 'up'
  throw new UsageRefusal(`No cluster is running; start one by "scripts/cluster ${remedy}"`)
}

async function takeDown(cluster: Cluster): Promise<number> {
  await new Progress().step('cluster taken away', () => cluster.down())
  return 0
}

try {
  process.exitCode = await main(readCommandLine(process.argv.slice(2)))
} catch (refusal) {
  const said = refusal instanceof Error ? refusal.message : String(refusal)
  process.stderr.write(`${styleText('red', `✗ ${said}`, { stream: process.stderr })}\n`)
  process.exitCode = refusal instanceof UsageRefusal ? 2 : 1
}
