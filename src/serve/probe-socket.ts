import { createSocket } from 'node:dgram'
import { type Address, formatAddress, parseAddress } from '../base/address.ts'

/** One UDP socket of the self-test, on one address of this node. */
export type ProbeSocket = {
  /** What the kernel refuses to send is lost, as what the network drops. */
  readonly send: (bytes: Uint8Array, to: Address) => void
  readonly close: () => void
}

export type ProbeSocketWish = {
  readonly address: Address
  /** Bound here, and sent to there. */
  readonly port: number
  readonly onDatagram: (bytes: Uint8Array, from: Address) => void
  /** After it was opened: the socket is of no use any more. */
  readonly onFault: (refusal: Error) => void
}
export type OpenProbeSocket = (wish: ProbeSocketWish) => Promise<ProbeSocket>

/**
 * Binds to the address alone, so that answers leave from the address that was asked, and nobody
 * else's port is taken. The kernel sends what fits the route's MTU with "don't fragment".
 * @throws the system's error: EADDRNOTAVAIL while the address is not there yet, EADDRINUSE.
 */
export function openProbeSocket(wish: ProbeSocketWish): Promise<ProbeSocket> {
  const { address, port, onDatagram, onFault } = wish
  const isIpv6 = address.family === 6
  const socket = createSocket({ type: isIpv6 ? 'udp6' : 'udp4', ipv6Only: isIpv6 })
  let isClosed = false
  const close = (): void => {
    if (!isClosed) socket.close()
    isClosed = true
  }
  socket.on('message', (bytes, { address: text }) => {
    const from = parseAddress(text)
    if (from) onDatagram(bytes, from)
  })
  return new Promise((resolve, reject) => {
    socket.once('error', (refusal) => {
      close()
      reject(refusal)
    })
    socket.bind({ address: formatAddress(address), port, exclusive: true }, () => {
      socket.removeAllListeners('error')
      socket.on('error', (refusal) => {
        close()
        onFault(refusal)
      })
      resolve({
        send: (bytes, to) => {
          if (!isClosed) socket.send(bytes, port, formatAddress(to), () => undefined)
        },
        close,
      })
    })
  })
}
