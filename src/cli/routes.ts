import { listed } from '../base/listed.ts'
import type { PeerStatus } from '../serve/agent-status.ts'
import { askAgent, socketOption } from './agent-client.ts'
import { type Command, type Desk, jsonOption } from './command.ts'
import { type FabricView, type NodeRoute, viewFabric } from './kernel-view.ts'
import { formatTable } from './table.ts'

export const routes: Command = {
  name: 'routes',
  summary: "Show the kernel's routes to other nodes' pods",
  about: [
    'Routes of protocol 116 with the neighbour and the forwarding entry that each leads by.',
    'Where an agent runs, what it wants is held against them. Exit code 1: they differ, or',
    'a route leads nowhere.',
  ],
  options: { socket: socketOption, json: jsonOption },
  run: async (desk) => {
    const answer = await askAgent(desk)
    const view = viewFabric(desk.loadNative())
    const peers = answer.kind === 'status' ? answer.status.peers : undefined
    const rows = compare(view.routes, peers)
    if (desk.values.json === true) {
      const isCompared = peers !== undefined
      const shown = { isCompared, routes: rows, unused: view.unused }
      desk.print(`${JSON.stringify(shown, undefined, 2)}\n`)
    } else print(desk, { rows, view, absent: answer.kind === 'absent' ? answer.why : undefined })
    return rows.every(({ state }) => state === 'ok') ? 0 : 1
  },
}

export type ComparedRoute = Partial<Omit<NodeRoute, 'destination' | 'problem'>> & {
  readonly destination: string
  readonly node?: string
  /** "ok", or what is wrong. */
  readonly state: string
}

/** What is there and what is wanted, side by side; without an agent nobody says what is wanted. */
export function compare(
  there: readonly NodeRoute[],
  peers: readonly PeerStatus[] | undefined,
): readonly ComparedRoute[] {
  const wanted = new Map(
    (peers ?? []).flatMap(({ name, ways }) =>
      ways.map(({ podCIDR, mode }) => [podCIDR, { node: name, mode }] as const),
    ),
  )
  const rows = there.map(({ problem, ...route }): ComparedRoute => {
    const wish = wanted.get(route.destination)
    wanted.delete(route.destination)
    const node = wish ? { node: wish.node } : {}
    return { ...route, ...node, state: problem ?? difference(route, wish, peers !== undefined) }
  })
  const missing = [...wanted].map(
    ([destination, { node, mode }]): ComparedRoute => ({
      destination,
      node,
      mode,
      state: 'missing',
    }),
  )
  return [...rows, ...missing]
}

function difference(
  { mode }: Pick<NodeRoute, 'mode'>,
  wish: { readonly mode: string } | undefined,
  isKnown: boolean,
): string {
  if (!isKnown) return 'ok'
  if (!wish) return 'not wanted'
  return wish.mode === mode ? 'ok' : `wanted ${wish.mode}`
}

type Shown = {
  readonly rows: readonly ComparedRoute[]
  readonly view: FabricView
  readonly absent: string | undefined
}

function print(desk: Desk, { rows, view, absent }: Shown): void {
  if (rows.length === 0) desk.print("no route to another node's pods\n")
  else
    desk.print(
      formatTable(
        ['DESTINATION', 'NODE', 'MODE', 'VIA', 'DEVICE', 'MAC', 'REMOTE', 'STATE'],
        rows.map(({ destination, node, mode, via, device, mac, remote, state }) =>
          [destination, node, mode, via, device, mac, remote, state].map((text) => text ?? '-'),
        ),
        desk,
      ),
    )
  if (view.unused.length > 0)
    desk.print(`\nno route leads by these entries: ${listed(view.unused)}\n`)
  if (absent !== undefined)
    desk.print(`\nNo agent answers (${absent}), so nobody tells what is wanted.\n`)
}
