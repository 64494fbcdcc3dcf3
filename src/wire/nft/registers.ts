import type { ListedExpression, Place } from './listed-expression.ts'

/** What of a packet or its connection lies in the registers. */
export type Field = {
  readonly of: 'address4' | 'address6' | 'port' | 'protocol'
  /** Bytes of the field that a mask has taken away are zero in it. */
  readonly mask?: Uint8Array
}

/** Fields by the place that they begin at, as one rule's expressions load them. */
export type Holding = Map<Place, Field>

export const fieldBytes = { address4: 4, address6: 16, port: 2, protocol: 1 } as const

/** By NFT_CT_*; SRC and DST (8, 9) are of the packet's family, which a rule does not tell. */
const connectionFields: Readonly<Record<number, Field['of']>> = {
  10: 'protocol',
  11: 'port',
  12: 'port',
  19: 'address4',
  20: 'address4',
  21: 'address6',
  22: 'address6',
}
const NFT_META_L4PROTO = 16

/** By header and offset: fields that rules ask for, as `packet-facts.ts` knows them. */
const payloadFields: Readonly<Record<string, Field['of']>> = {
  '1 9': 'protocol',
  '1 6': 'protocol',
  '1 12': 'address4',
  '1 16': 'address4',
  '1 8': 'address6',
  '1 24': 'address6',
  '2 0': 'port',
  '2 2': 'port',
}

/** What lies where after the expression. */
export function track(holding: Holding, expression: ListedExpression): void {
  const into = 'into' in expression ? expression.into : undefined
  if (typeof into !== 'number') return
  const field = fieldOf(holding, expression)
  holding.delete(into)
  if (field) holding.set(into, field)
}

function fieldOf(holding: Holding, expression: ListedExpression): Field | undefined {
  const plain = (of: Field['of'] | undefined): Field | undefined => of && { of }
  switch (expression.name) {
    case 'meta':
      return plain(expression.key === NFT_META_L4PROTO ? 'protocol' : undefined)
    case 'ct':
      return plain(connectionFields[expression.key])
    case 'payload':
      return plain(payloadFields[`${expression.base} ${expression.offset}`])
    case 'bitwise': {
      const field = holding.get(expression.from)
      return field && { ...field, mask: expression.mask }
    }
    default:
      return undefined
  }
}
