import { type AttachmentId, nameOf } from './attachment.ts'
import type { Extras } from './extras.ts'

// Which records are of pods that are gone, as somebody may see who is not the runtime. A pod's
// namespace takes both ends of its veth along, so a record whose host end is missing is of a pod
// that is gone, or of an ADD that has not come that far: who is seen so twice, seconds apart and
// with no call at work on it, is gone.

/** What the store tells, and what the kernel shows, at one moment. */
export type Sight = {
  readonly attachments: readonly (AttachmentId & { readonly link: string })[]
  readonly extras: readonly Pick<
    Extras,
    'network' | 'container' | 'ifname' | 'plugin' | 'hostLink'
  >[]
  /** Interfaces that `flannel` handed on: they are taken down by its name. */
  readonly delegates: readonly AttachmentId[]
  /** Every address that is held. */
  readonly holders: readonly AttachmentId[]
  /** Names of all links of the host. */
  readonly links: ReadonlySet<string>
  /** Containers that a CNI call is at work on. */
  readonly busy: ReadonlySet<string>
  /** The machine was started since the records were written: none of their pods is left. */
  readonly isEarlierBoot: boolean
}

export type Remains = AttachmentId & {
  /** Names to call DEL by, in this order: each plugin takes away what it keeps a record of. */
  readonly plugins: readonly string[]
  /** The host end that is not there; null for one of an earlier boot that had none. */
  readonly link: string | null
  readonly why: 'no-link' | 'earlier-boot'
}

/**
 * What looks like the remains of pods, in the order of their names. A lease without interface
 * (another plugin asked for the address alone) says nothing of its pod before the next boot.
 */
export function remainsIn(sight: Sight): readonly Remains[] {
  const groups = new Map<string, Group>()
  const groupOf = (id: AttachmentId): Group => {
    const name = nameOf(id)
    const group = groups.get(name) ?? { id, plugins: new Set(), links: new Set() }
    groups.set(name, group)
    return group
  }
  for (const { plugin, hostLink, ...id } of sight.extras) {
    const group = groupOf(id)
    group.plugins.add(plugin)
    if (hostLink !== null) group.links.add(hostLink)
  }
  for (const id of sight.delegates) groupOf(id).plugins.add('flannel')
  for (const { link, ...id } of sight.attachments) {
    const group = groupOf(id)
    group.plugins.add('tulle')
    group.links.add(link)
  }
  for (const id of sight.holders) {
    const group = groupOf(id)
    if (!group.plugins.has('tulle')) group.plugins.add('host-local')
  }
  return [...groups.values()]
    .flatMap((group) => judge(group, sight) ?? [])
    .toSorted((left, right) => (nameOf(left) < nameOf(right) ? -1 : 1))
}

type Group = {
  readonly id: AttachmentId
  readonly plugins: Set<string>
  readonly links: Set<string>
}

function judge({ id, plugins, links }: Group, sight: Sight): Remains | undefined {
  const { network, container, ifname } = id
  const [link = null] = links
  const remains = { network, container, ifname, plugins: [...plugins], link }
  // A legacy lease has no interface name, and no DEL can be told of it.
  if (ifname === '') return undefined
  if (sight.busy.has(container)) return undefined
  if (sight.isEarlierBoot) return { ...remains, why: 'earlier-boot' }
  const isGone = links.size > 0 && [...links].every((name) => !sight.links.has(name))
  return isGone ? { ...remains, why: 'no-link' } : undefined
}

/** Those that were gone at an earlier look too, or that no look is needed for. */
export function goneSince(before: readonly Remains[], now: readonly Remains[]): readonly Remains[] {
  const known = new Map(before.map((remains) => [nameOf(remains), remains.link]))
  return now.filter(
    (remains) => remains.why === 'earlier-boot' || known.get(nameOf(remains)) === remains.link,
  )
}
