import { setTimeout as after } from 'node:timers/promises'
import { nameOf } from '../datapath/attachment.ts'
import { goneSince, type Remains } from '../datapath/gone.ts'
import { parseAlias } from '../datapath/mark.ts'
import { FilterSocket } from '../kernel/filter-socket.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import { cutComment } from '../wire/nft/message.ts'
import { type Command, type Desk, jsonOption } from './command.ts'
import { confDirOption, dataDirOption, withStore } from './leases.ts'
import { type Look, lookForRemains, type Removal, takeAway } from './remains.ts'
import { formatTable } from './table.ts'

/** Between the two looks: an ADD that has written its record makes its link in milliseconds. */
const patienceMilliseconds = 3_000

export const ipamGc: Command = {
  name: 'ipam gc',
  summary: 'Give back what pods hold that are gone: leases, links, rules',
  about: [
    'A pod is gone if its host end is missing at two looks, three seconds apart, and no CNI',
    'call is at work on it; or if the node was started since. Each is taken away by DEL, as',
    'its runtime would have done it. Pods that start meanwhile are not disturbed.',
  ],
  options: {
    'data-dir': dataDirOption,
    'conf-dir': confDirOption,
    'dry-run': { type: 'boolean', text: 'show what would be given back, and change nothing' },
    json: jsonOption,
  },
  run: async (desk) => {
    const first = lookForRemains(desk)
    const { look, gone } = await lookTwice(desk, first)
    const isDry = desk.values['dry-run'] === true
    const removals = isDry
      ? gone.map((remains): Removal => ({ remains }))
      : gone.map((remains) => takeAway(desk, remains, look))
    const orphans = isDry ? orphanedElements(desk, 'look') : orphanedElements(desk, 'delete')
    report(desk, { removals, orphans, isDry })
    return removals.some(({ refusal }) => refusal !== undefined) ? 1 : 0
  },
}

type Looked = { readonly look: Look; readonly gone: readonly Remains[] }

async function lookTwice(desk: Desk, first: Look): Promise<Looked> {
  const isSure = first.remains.every(({ why }) => why === 'earlier-boot')
  if (isSure) return { look: first, gone: first.remains }
  await after(patienceMilliseconds)
  const look = lookForRemains(desk)
  return { look, gone: goneSince(first.remains, look.remains) }
}

/**
 * Comments of elements in our tables that no record and no link tells of: a store was lost, or a
 * process killed at a bad moment. Under the store's lock, and an ADD writes its record before its
 * elements: who has none now is not about to get one.
 */
function orphanedElements(desk: Desk, todo: 'look' | 'delete'): readonly string[] {
  const filter = new FilterSocket(desk.loadNative())
  const host = new RouteSocket(desk.loadNative(), -1, 'the host')
  try {
    return withStore(desk, (store) => {
      // Of pods that live though their records were lost, the links' aliases tell.
      const linked = host.links().flatMap(({ alias }) => parseAlias(alias) ?? [])
      const names = [...store.attachments(), ...store.extras.all(), ...linked].map(nameOf)
      const known = new Set(names.map(cutComment))
      const found = new Set<string>()
      const elements = filter.findElements((comment) => {
        // Elements that pods share, and those of others, have no name of an attachment.
        const isOrphan = /^[^/ ]+\/[^/ ]+\/[^/ ]+$/.test(comment) && !known.has(comment)
        if (isOrphan) found.add(comment)
        return isOrphan
      })
      if (todo === 'delete' && elements.length > 0) {
        filter.deleteElements(elements)
        filter.dropUnusedChains()
        if (store.isEmpty()) filter.dropEmptyTables()
      }
      return [...found].sort()
    })
  } finally {
    filter.close()
    host.close()
  }
}

type Report = {
  readonly removals: readonly Removal[]
  readonly orphans: readonly string[]
  readonly isDry: boolean
}

const reasons: Readonly<Record<Remains['why'], (remains: Remains) => string>> = {
  'no-link': ({ link }) => `its host end ${link} is not there`,
  'earlier-boot': () => 'the node was started since',
}
const reasonOf = (remains: Remains): string => reasons[remains.why](remains)

function report(desk: Desk, { removals, orphans, isDry }: Report): void {
  if (desk.values.json === true) {
    const shown = removals.map(({ remains, refusal }) => ({
      ...remains,
      ...(refusal === undefined ? {} : { refusal }),
    }))
    desk.print(`${JSON.stringify({ isDry, gone: shown, orphans }, undefined, 2)}\n`)
    return
  }
  if (removals.length === 0 && orphans.length === 0) desk.print('nothing to give back\n')
  if (removals.length > 0) {
    const rows = removals.map(({ remains, refusal }) => [
      remains.network,
      remains.container,
      remains.ifname,
      reasonOf(remains),
      refusal ?? (isDry ? 'would be given back' : 'given back'),
    ])
    desk.print(formatTable(['NETWORK', 'CONTAINER', 'IFNAME', 'WHY', 'DONE'], rows, desk))
  }
  if (orphans.length > 0)
    desk.print(
      `${isDry ? 'rules to be removed' : 'removed rules'} of which no record tells: ` +
        `${orphans.join(', ')}\n`,
    )
}
