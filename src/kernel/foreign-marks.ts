import { policyTable } from '../datapath/policy-table.ts'
import { decodeMarkSetter, dumpAllRules } from '../wire/nft/mark-setter.ts'
import type { AnyFamily } from '../wire/nft/message.ts'
import type { Native } from './native.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from './netlink-socket.ts'
import { generationMask } from './policy-generation.ts'

const families: readonly AnyFamily[] = ['inet', 'ip', 'ip6', 'bridge']

/** Chains of others whose rules change bits of the ct mark that are ours: "ip mangle OUTPUT". */
export function foreignMarks(native: Native): readonly string[] {
  const socket = new NetlinkSocket(native, -1, NETLINK_NETFILTER)
  try {
    const chains = families.flatMap((family) =>
      socket
        .ask(`list ${family} rules`, dumpAllRules(family))
        .map(({ body }) => decodeMarkSetter(body))
        .filter(({ table, bits }) => table !== policyTable.table && (bits & generationMask) !== 0)
        .map(({ table, chain }) => `${family} ${table} ${chain}`),
    )
    return [...new Set(chains)]
  } finally {
    socket.close()
  }
}
