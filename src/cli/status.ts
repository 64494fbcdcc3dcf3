import { existsSync } from 'node:fs'
import { hostname } from 'node:os'
import { formatAddress } from '../base/address.ts'
import { formatMac } from '../base/mac.ts'
import { LeaseStore } from '../store/lease-store.ts'
import { askAgent, socketOption } from './agent-client.ts'
import { type Command, type Desk, jsonOption, requiredText } from './command.ts'
import { type FabricView, viewFabric } from './kernel-view.ts'
import { dataDirOption } from './leases.ts'
import { formatAgent } from './status/agent-screen.ts'
import { formatColumns, paint } from './table.ts'

export const status: Command = {
  name: 'status',
  summary: 'Show this node: its peers, modes, MTU, leases, drift and last errors',
  about: [
    'Asks the agent. Where none runs it says so, and shows what the kernel and the store',
    'tell. Of more than 20 peers those with problems are shown, and of all a summary.',
  ],
  options: {
    all: { type: 'boolean', text: 'show every peer' },
    socket: socketOption,
    'data-dir': dataDirOption,
    json: jsonOption,
  },
  run: async (desk) => {
    const answer = await askAgent(desk)
    if (answer.kind === 'absent') showNode(desk, answer.why)
    else if (desk.values.json === true)
      desk.print(`${JSON.stringify({ agent: answer.status }, undefined, 2)}\n`)
    else {
      const { isTerminal } = desk
      const options = { isTerminal, all: desk.values.all === true, nowMilliseconds: Date.now() }
      desk.print(formatAgent(answer.status, options))
    }
    return 0
  },
}

/** What is known of a node that no agent speaks for. */
type NodeView = {
  readonly node: string
  readonly devices: readonly {
    readonly name: string
    readonly vni: number
    readonly port: number
    readonly local: string | null
    readonly mac: string | null
    readonly mtuBytes: number
  }[]
  readonly routes: Readonly<Record<'direct' | 'vxlan' | 'broken', number>>
  /** Null: nothing has ever leased from this folder. */
  readonly leases: { readonly dataDir: string; readonly held: number; readonly pods: number } | null
}

function showNode(desk: Desk, why: string): void {
  const view = lookAtNode(desk)
  if (desk.values.json === true)
    desk.print(`${JSON.stringify({ agent: null, why, ...view }, undefined, 2)}\n`)
  else desk.print(formatNode(view, why, desk))
}

function lookAtNode(desk: Desk): NodeView {
  const fabric = viewFabric(desk.loadNative())
  return {
    node: hostname(),
    devices: devicesOf(fabric),
    routes: {
      direct: fabric.routes.filter(({ mode }) => mode === 'direct').length,
      vxlan: fabric.routes.filter(({ mode }) => mode === 'vxlan').length,
      broken: fabric.routes.filter(({ problem }) => problem !== undefined).length,
    },
    leases: leasesOf(desk),
  }
}

const devicesOf = ({ devices }: FabricView): NodeView['devices'] =>
  devices.map(({ name, vxlan, mac, mtuBytes }) => ({
    name,
    vni: vxlan?.vni ?? 0,
    port: vxlan?.port ?? 0,
    local: vxlan?.local ? formatAddress(vxlan.local) : null,
    mac: mac ? formatMac(mac) : null,
    mtuBytes,
  }))

function leasesOf(desk: Desk): NodeView['leases'] {
  const dataDir = requiredText(desk, 'data-dir', 'DIR')
  if (!existsSync(`${dataDir}/tulle.db`)) return null
  return LeaseStore.use(dataDir, desk.loadNative().lock, (store) => ({
    dataDir,
    held: store.leases().length,
    pods: store.attachments().length,
  }))
}

function formatNode(view: NodeView, why: string, desk: Desk): string {
  const { direct, vxlan, broken } = view.routes
  const brokenText = broken === 0 ? '' : `; ${broken} lead nowhere: see "tulle routes"`
  const facts = [
    ...view.devices.map(({ name, vni, port, local, mac, mtuBytes }) => [
      'tunnel',
      `${name} VNI ${vni} UDP ${port} from ${local ?? '-'} MTU ${mtuBytes} MAC ${mac ?? '-'}`,
    ]),
    ['routes', `${vxlan} vxlan, ${direct} direct${brokenText}`],
    [
      'leases',
      view.leases
        ? `${view.leases.held} held by ${view.leases.pods} interfaces (${view.leases.dataDir})`
        : 'no network of Tulle has leased here',
    ],
  ]
  return (
    `${paint(view.node, 'bold', desk)}  no agent answers (${why})\n` +
    `What the kernel and the store tell:\n\n${formatColumns(facts)}`
  )
}
