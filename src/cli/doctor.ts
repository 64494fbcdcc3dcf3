import { socketOption } from './agent-client.ts'
import { type Command, type Desk, jsonOption } from './command.ts'
import { agent, nodeRoutes } from './doctor/agent-checks.ts'
import type { Check, Examined, Verdict } from './doctor/check.ts'
import { binaries, firewall, networks } from './doctor/cni-checks.ts'
import { gatherFacts } from './doctor/gather.ts'
import {
  capabilities,
  conntrack,
  forwarding,
  ipv6Enabled,
  kernelFeatures,
  neighbourTable,
  reversePath,
} from './doctor/kernel-checks.ts'
import { leftovers, mtus, tunnelClash, tunnelDevices, tunnelMacs } from './doctor/link-checks.ts'
import {
  bridgeHooks,
  closedPods,
  connectionMarks,
  enforcement,
  policyConntrack,
  policyTableCheck,
} from './doctor/policy-checks.ts'
import { gonePods, pools, storeLife } from './doctor/store-checks.ts'
import { confDirOption, dataDirOption } from './leases.ts'
import { formatColumns, paint, type Style } from './table.ts'

/** In the order in which they are shown: from the ground up. */
const checks: readonly Check[] = [
  capabilities,
  kernelFeatures,
  forwarding,
  ipv6Enabled,
  reversePath,
  neighbourTable,
  conntrack,
  networks,
  binaries,
  leftovers,
  firewall,
  storeLife,
  pools,
  gonePods,
  policyTableCheck,
  closedPods,
  bridgeHooks,
  policyConntrack,
  connectionMarks,
  tunnelDevices,
  tunnelMacs,
  mtus,
  tunnelClash,
  nodeRoutes,
  agent,
  enforcement,
]

export const doctor: Command = {
  name: 'doctor',
  summary: 'Look for what is wrong with this node: found, meaning, remedy',
  about: [
    'Looks at the kernel, the links, the networks, the leases, the routes, and asks the',
    'agent, which tells of other nodes too. Changes nothing. What this process may not look',
    'at is told as "unknown": run it as root. Exit code 1: something is wrong.',
  ],
  options: {
    'conf-dir': confDirOption,
    'bin-dir': {
      type: 'string',
      value: 'DIR',
      default: '/opt/cni/bin',
      text: 'where the runtime looks for plugins',
    },
    'data-dir': dataDirOption,
    socket: socketOption,
    json: jsonOption,
  },
  run: async (desk) => {
    const facts = await gatherFacts(desk)
    const examined = checks.flatMap((check) => check(facts))
    if (desk.values.json === true)
      desk.print(
        `${JSON.stringify({ isWell: isWell(examined), checks: examined }, undefined, 2)}\n`,
      )
    else desk.print(format(examined, desk))
    return isWell(examined) ? 0 : 1
  },
}

const isWell = (examined: readonly Examined[]): boolean =>
  examined.every(({ verdict }) => verdict !== 'error')

const styles: Readonly<Record<Verdict, Style>> = {
  ok: 'green',
  warning: 'yellow',
  error: 'red',
  unknown: 'bold',
}

function format(examined: readonly Examined[], desk: Desk): string {
  const rows = examined.map(({ verdict, check, found }) => [verdict.padEnd(7), check, found])
  const lines = formatColumns(rows).trimEnd().split('\n')
  const body = examined.flatMap(({ verdict, meaning, remedy }, at) => {
    const line = lines[at] ?? ''
    const word = paint(verdict, styles[verdict], desk)
    return [
      word + line.slice(verdict.length),
      ...(meaning === undefined ? [] : [`         means: ${meaning}`]),
      ...(remedy === undefined ? [] : [`         to do: ${remedy}`]),
    ]
  })
  return `${body.join('\n')}\n\n${summaryOf(examined)}\n`
}

function summaryOf(examined: readonly Examined[]): string {
  const count = (verdict: Verdict): number =>
    examined.filter((one) => one.verdict === verdict).length
  const parts = [
    `${count('error')} wrong`,
    `${count('warning')} to look at`,
    `${count('ok')} well`,
    ...(count('unknown') > 0 ? [`${count('unknown')} unknown`] : []),
  ]
  return parts.join(', ')
}
