import { addressBytes, formatAddress } from '../../src/base/address.ts'
import { policyTable } from '../../src/datapath/policy-table.ts'
import { PolicySocket } from '../../src/kernel/policy-socket.ts'
import { compile, emptyMemo, type Memo } from '../../src/policy/compile.ts'
import type { Cluster } from '../../src/policy/model.ts'
import type { Program } from '../../src/policy/program.ts'
import { type Connection, isPassing, verdict } from '../../src/policy/verdict.ts'
import type { Element } from '../../src/wire/nft/set.ts'
import { Lodger } from '../kernel/node.ts'
import { stateOf } from '../policy/states.ts'
import type { Netns } from '../support/netns.ts'
import { Kept } from './kept.ts'

/** The node whose kernel enforces here. */
export const nodeName = 'n1'

/** A cluster's policies in one node's kernel, each next one as a difference to the last. */
export class Enforcer {
  readonly #lodger: Lodger
  readonly #socket: PolicySocket
  readonly #kept = new Kept()
  readonly #memo: Memo = emptyMemo()
  readonly #node: Netns
  #program: Program | undefined
  #policed: readonly string[] = []

  constructor(node: Netns) {
    this.#node = node
    this.#lodger = new Lodger(node)
    this.#socket = new PolicySocket(this.#lodger.native)
  }

  /** From when this returns, the kernel has it. */
  enforce(cluster: Cluster): void {
    const state = stateOf(this.#kept.cluster(cluster), nodeName)
    const program = compile(state, this.#memo)
    const before = this.#program
    if (before !== undefined) this.#police(state.local)
    if (before === undefined) this.#socket.load(program, [...state.local.values()].map(policed))
    else this.#socket.change(before, program)
    this.#program = program
    this.#policed = [...state.local.keys()]
  }

  /** The same as one load of all, as an agent does that has found its table changed. */
  load(cluster: Cluster): void {
    const state = stateOf(this.#kept.cluster(cluster), nodeName)
    this.#program = compile(state, this.#memo)
    this.#socket.load(this.#program, [...state.local.values()].map(policed))
    this.#policed = [...state.local.keys()]
  }

  /** As ADD and DEL do, by nft. */
  #police(local: ReadonlyMap<string, unknown>): void {
    const come = [...local.keys()].filter((address) => !this.#policed.includes(address))
    const gone = this.#policed.filter((address) => !local.has(address))
    const line = (verb: string) => (address: string) =>
      `${verb} element inet tulle-policy policed${address.includes(':') ? 6 : 4} { ${address} }`
    const input = [...come.map(line('add')), ...gone.map(line('delete')), ''].join('\n')
    const done = this.#node.exec(['/usr/sbin/nft', '-f', '-'], { input })
    if (done.code !== 0) throw new Error(`Cannot add pods: ${done.stderr}`)
  }

  close(): void {
    this.#socket.close()
    this.#lodger.close()
  }
}

/** What ADD puts there for a pod. */
const policed = ({ address }: { readonly address: Connection['from']['address'] }): Element => ({
  ...policyTable,
  set: `policed${address.family}`,
  key: addressBytes(address),
  comment: `test ${formatAddress(address)}`,
})

/** The reference's verdict, of those sides that this node enforces. */
export function isAllowedHere(cluster: Cluster, connection: Connection): boolean {
  const { egress, ingress } = verdict(cluster, connection)
  const isHere = ({ kind, ...end }: Connection['from']): boolean =>
    kind === 'pod' && 'pod' in end && end.pod.node === nodeName
  return (
    (!isHere(connection.from) || isPassing(egress)) &&
    (!isHere(connection.to) || isPassing(ingress))
  )
}
