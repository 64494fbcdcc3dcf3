import { decodeText, encodeText } from '../base/bytes.ts'
import type { Attachment, AttachmentId } from './attachment.ts'

/** First word of the alias of every link that is ours; the digit is the alias's format. */
const mark = 'tulle1'

/**
 * The policy of IFLA_IFALIAS takes 255 bytes with the NUL. Addresses come first, so that a cut
 * costs a part of the id at worst.
 */
const aliasBytesMax = 254

/**
 * "tulle1 <addresses> <ifname> <network> <container>" on the host end: enough to build a lost store
 * anew.
 */
export function formatAlias({ ips, ifname, network, container }: Attachment): string {
  const addresses = ips.map(({ address }) => address).join(',') || '-'
  return decodeText(
    encodeText([mark, addresses, ifname, network, container].join(' ')).subarray(0, aliasBytesMax),
  )
}

export type Marked = AttachmentId & { readonly addresses: readonly string[] }

/** An alias of ours, read back; undefined for anybody else's, and for our bridge. */
export function parseAlias(alias: string | undefined): Marked | undefined {
  const [word, addresses, ifname, network, container, ...rest] = (alias ?? '').split(' ')
  if (word !== mark || !addresses || !ifname || !network || !container || rest.length > 0)
    return undefined
  return {
    network,
    container,
    ifname,
    addresses: addresses === '-' ? [] : addresses.split(','),
  }
}

/** "tulle1 ifb - <ifname> <network> <container>": a word more than a host end's alias has. */
export const formatIfbAlias = ({ ifname, network, container }: AttachmentId): string =>
  decodeText(
    encodeText([mark, 'ifb -', ifname, network, container].join(' ')).subarray(0, aliasBytesMax),
  )

/** The network whose limits an ifb of ours serves; undefined for anybody else's. */
export function networkOfIfb(alias: string | undefined): string | undefined {
  const [word, kind, , , network] = (alias ?? '').split(' ')
  return word === mark && kind === 'ifb' ? network : undefined
}

/** Alias of a bridge that Tulle made, and may take away again. */
export const bridgeAlias = `${mark} bridge`
