import { parseAddress } from '../../src/base/address.ts'
import {
  type BlockSpans,
  everything,
  type Profile,
  type Program,
  type Reach,
  type Span,
} from '../../src/policy/program.ts'

// Programs by hand, as `compile` makes them.

export const nothing: Reach = {
  anybody: [],
  pods: [],
  ownNode: [],
  identities: new Map(),
  blocks: [],
  world: [],
}

export const whole = [everything]

const protocols = { tcp: 6, udp: 17, sctp: 132 } as const

/** "tcp 80", "udp 1000-2000", "any 53" (TCP to SCTP), as a rule's ports are written. */
export function span(text: string): Span {
  const [name = '', numbers = ''] = text.split(' ')
  const [first = '0', last = first] = numbers.split('-')
  const isAny = name === 'any'
  const protocol = protocols[name as keyof typeof protocols]
  return {
    firstProtocol: isAny ? 6 : protocol,
    lastProtocol: isAny ? 132 : protocol,
    firstPort: Number(first),
    lastPort: Number(last),
  }
}

export const spans = (...texts: readonly string[]): readonly Span[] => texts.map(span)

/** "10.0.0.0-10.0.0.255" */
export function block(range: string, ...wanted: readonly Span[]): BlockSpans {
  const [first, last] = range.split('-').map((text) => parseAddress(text))
  if (!first || !last) throw new Error(`Cannot read ${range}`)
  return {
    family: first.family,
    first: first.value,
    last: last.value,
    spans: wanted.length > 0 ? wanted : whole,
  }
}

export const profile = (
  name: string,
  allows: Partial<Reach>,
  more: Partial<Profile> = {},
): Profile => ({
  name,
  direction: name.startsWith('in-') ? 'ingress' : 'egress',
  isIsolated: true,
  policies: ['shop/api'],
  denies: [],
  allows: { ...nothing, ...allows },
  ...more,
})

export const program = ({
  identities = {},
  subjects = {},
  profiles = [],
}: {
  identities?: Readonly<Record<string, number>>
  subjects?: Readonly<Record<string, { readonly ingress?: string; readonly egress?: string }>>
  profiles?: readonly Profile[]
}): Program => ({
  identities: new Map(Object.entries(identities)),
  subjects: new Map(Object.entries(subjects)),
  profiles: new Map(profiles.map((one) => [one.name, one])),
})

/** Every way to be meant, and every way to ask for ports. */
export const everyForm: Reach = {
  anybody: spans('udp 53', 'tcp 8000-8999'),
  pods: spans('tcp 9090', 'any 9100-9200'),
  ownNode: spans('tcp 10250', 'tcp 30000-32767'),
  identities: new Map([
    [256, whole],
    [257, spans('tcp 80', 'tcp 443')],
    [258, spans('udp 5000-5999', 'tcp 5432')],
  ]),
  blocks: [
    block('10.0.0.0-10.0.0.255'),
    block('192.0.2.1-192.0.2.1', span('tcp 443')),
    block('fd00:5::-fd00:5::ffff', span('tcp 443')),
  ],
  world: [block('0.0.0.0-255.255.255.255', span('tcp 443')), block('2001:db8::-2001:db8::1')],
}

export const fullProgram = program({
  identities: {
    '10.1.0.1': 256,
    '10.1.0.2': 257,
    '10.1.0.3': 258,
    '192.168.0.1': 1,
    'fd00:1::1': 256,
    'fd00:1::3': 258,
  },
  subjects: {
    '10.1.0.1': { ingress: 'in-0123456789ab', egress: 'out-0123456789ab' },
    'fd00:1::1': { ingress: 'in-0123456789ab', egress: 'out-0123456789ab' },
    '10.1.0.2': {},
  },
  profiles: [
    profile('in-0123456789ab', everyForm, {
      denies: [
        { policy: 'shop/no-batch', reach: { ...nothing, identities: new Map([[258, whole]]) } },
        { policy: 'shop/no-scans', reach: { ...nothing, anybody: spans('tcp 22') } },
      ],
    }),
    profile('out-0123456789ab', everyForm, {
      policies: ['shop/api', 'shop/default'],
      audit: profile('out-ba9876543210', { pods: whole }, { policies: ['shop/api'] }),
    }),
  ],
})
