import { readFileSync } from 'node:fs'
import { type Address, addressFromBytes, type Family } from '../base/address.ts'
import type { Listener } from '../datapath/host-ports.ts'

/** Socket states of /proc/net (linux/tcp_states.h): TCP_LISTEN; TCP_CLOSE, unconnected UDP. */
const waiting = { tcp: '0A', udp: '07' } as const

/** Listening sockets of the process's own namespace, as /proc/net tells of them (proc(5)). */
export const listenersOf = (protocol: keyof typeof waiting): readonly Listener[] =>
  ([4, 6] as const).flatMap((family) => readTable(protocol, family))

function readTable(protocol: keyof typeof waiting, family: Family): readonly Listener[] {
  let text: string
  try {
    text = readFileSync(`/proc/self/net/${protocol}${family === 6 ? '6' : ''}`, 'latin1')
  } catch {
    return [] // a kernel without IPv6
  }
  return text.split('\n').flatMap((line) => {
    const [, local = '', , state] = line.trim().split(/\s+/)
    const address = state === waiting[protocol] ? readAddress(local.split(':')[0] ?? '') : undefined
    return address ? [{ address, port: Number.parseInt(local.split(':')[1] ?? '', 16) }] : []
  })
}

/** Words of four bytes, each as this machine has numbers: little-endian. */
function readAddress(hex: string): Address | undefined {
  const words = hex.match(/[0-9A-F]{8}/g) ?? []
  const bytes = words.flatMap((word) =>
    (word.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16)).toReversed(),
  )
  return addressFromBytes(Uint8Array.from(bytes))
}
