import { readFileSync } from 'node:fs'
import { styleText } from 'node:util'
import type { Cluster } from './cluster.ts'
import { seconds } from './progress.ts'

/** Prints what runs; 0 if all of it does. */
export async function printStatus(cluster: Cluster): Promise<number> {
  if (!cluster.exists) {
    process.stdout.write('No cluster here; start one by "scripts/cluster up"\n')
    return 1
  }
  const { proxyMode, startedAt } = cluster.facts
  const age = Date.now() - Date.parse(startedAt)
  process.stdout.write(`up for ${seconds(age)}, kube-proxy in ${proxyMode} mode\n`)
  const parts = [cluster.controlPlane, ...cluster.nodes].flatMap((one) => one.parts)
  for (const part of parts) {
    const { pid } = part
    const state = pid === undefined ? styleText('red', 'down') : `${residentMiB(pid)} MiB`
    const row = [part.computer.site.name.padEnd(4), part.name.padEnd(26), state.padStart(9)]
    process.stdout.write(`${row.join('')}\n`)
  }
  const isWhole = parts.every((part) => part.isRunning)
  if (!cluster.controlPlane.apiServer.isRunning) return 1
  const shown = await cluster.kubectl(['get', 'nodes,pods', '-A', '-o', 'wide'])
  process.stdout.write(`\n${shown.stdout}${shown.stderr}`)
  return isWhole && shown.code === 0 ? 0 : 1
}

/** VmRSS of /proc/PID/status, in MiB. */
function residentMiB(pid: number): number {
  const found = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Math.round(Number(found?.[1] ?? 0) / 1024)
}
