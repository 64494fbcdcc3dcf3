import { formatPrefix } from '../base/prefix.ts'
import { deleteFilters, type FilterPlace, type NewFilter, newFilter } from '../wire/rtnl/filter.ts'
import { type IfIndex, newIfb, setAlias, setLink } from '../wire/rtnl/link.ts'
import type { Link } from '../wire/rtnl/observed-link.ts'
import {
  deleteClsact,
  deleteRootQdisc,
  newClsact,
  newTokenBucket,
  type TokenBucket,
} from '../wire/rtnl/qdisc.ts'
import type { AttachmentId } from './attachment.ts'
import type { Ifb } from './identity.ts'
import { formatIfbAlias } from './mark.ts'
import { bucketHandle } from './shaping.ts'
import { noLinkLocalStep, type Step } from './steps.ts'
import { macOf } from './wiring.ts'

const ENOENT = 2
const ENODEV = 19
const EINVAL = 22
/** Said of a qdisc or filter that is not there, or not ours, or that has no link any more. */
const gone = [ENOENT, ENODEV, EINVAL]

type Named = Pick<Link, 'index' | 'name'>

export const ifbStep = ({ name, mac }: Ifb, mtuBytes: number): Step => ({
  what: `create ifb ${name}`,
  query: newIfb({ name, mac: macOf(mac), mtuBytes }),
})

/** Up only with its bucket: what comes before is dropped, not let through. */
export const ifbSteps = (
  { name, index }: Named,
  id: AttachmentId,
  bucket: TokenBucket,
): readonly Step[] => [
  { what: `mark ${name} as Tulle's`, query: setAlias(name, formatIfbAlias(id)) },
  noLinkLocalStep(name, index),
  bucketStep({ name, index }, bucket),
  { what: `set ${name} up`, query: setLink({ index, up: true }) },
]

export const bucketStep = ({ name, index }: Named, bucket: TokenBucket): Step => ({
  what: `limit what ${name} sends to ${bucket.rateBytes} bytes a second`,
  query: newTokenBucket({ link: index, handle: bucketHandle, ...bucket }),
})

export const classifierStep = ({ name, index }: Named): Step => ({
  what: `add qdisc clsact to ${name}`,
  query: newClsact(index),
})

export const filterStep = (name: string, filter: NewFilter): Step => ({
  what: `add filter ${textOf(filter)} to ${name} ${filter.hook}`,
  query: newFilter(filter),
})

const textOf = ({ match, preference }: NewFilter): string =>
  match ? `${match.at} ${formatPrefix(match.prefix)}` : `of preference ${preference}`

export const dropFiltersStep = (name: string, place: FilterPlace): Step => ({
  what: `remove filters of preference ${place.preference} from ${name} ${place.hook}`,
  query: deleteFilters(place),
  settled: gone,
})

export const dropClassifierStep = ({ name, index }: Named): Step => ({
  what: `remove qdisc clsact from ${name}`,
  query: deleteClsact(index),
  settled: gone,
})

export const dropBucketStep = (name: string, index: IfIndex): Step => ({
  what: `remove the limit of what ${name} sends`,
  query: deleteRootQdisc(index, bucketHandle),
  settled: gone,
})
