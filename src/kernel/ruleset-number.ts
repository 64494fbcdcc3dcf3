import { decodeGeneration, getGeneration } from '../wire/nft/message.ts'
import type { NetlinkSocket } from './netlink-socket.ts'

/** Of the nf_tables rules in force: each commit raises it. Throws where the kernel has none. */
export function rulesetNumber(socket: NetlinkSocket): number {
  const [message] = socket.ask('read the nf_tables generation', getGeneration())
  const number = message && decodeGeneration(message)
  if (number === undefined) throw new Error('Cannot read the nf_tables generation: odd answer')
  return number
}
