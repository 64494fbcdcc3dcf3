import type { Attachment } from '../../src/datapath/attachment.ts'
import { holdingOf } from '../../src/datapath/holding.ts'
import type { WhenLost } from '../../src/kernel/filter-socket.ts'
import { attachmentOf } from '../datapath/attachments.ts'

/** Pod number n of a node, 1 to 9999: addresses, MAC and link are its own. */
export function podNumber(
  n: number,
  mode: Attachment['mode'] = 'routed',
  more: Partial<Attachment> = {},
): Attachment {
  const [high, low] = [n >> 8, n & 255]
  const hex = n.toString(16).padStart(4, '0')
  return attachmentOf(mode, 'dual', {
    container: `c${n}`,
    link: `tul${n}`,
    podMac: `0a:58:0a:01:${hex.slice(0, 2)}:${hex.slice(2)}`,
    ips: [
      { address: `10.1.${high}.${low}`, subnetBits: 16, gateway: '10.1.255.254' },
      { address: `fd00:1::${hex}`, subnetBits: 64, gateway: 'fd00:1::ffff' },
    ],
    masqueradeExcept: [],
    ...more,
  })
}

/** A store that holds these, for a table that has to be made. */
export const storeOf =
  (...all: readonly Attachment[]): WhenLost =>
  (fill) =>
    fill(all.map((one) => holdingOf(one)))

export const neverLost = (): never => {
  throw new Error('Cannot happen: every table was there')
}
