import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Netns } from './netns.ts'

// SCTP without SCTP sockets, which a kernel need not have: an INIT chunk (RFC 9260 section 3.3.2)
// out of a raw socket, and a raw socket that sees what arrives.

const library = `
import socket, struct, sys
def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8): crc = (crc >> 1) ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff
def family(address): return socket.AF_INET6 if ':' in address else socket.AF_INET
def raw(address): return socket.socket(family(address), socket.SOCK_RAW, 132)
`

const sender = `${library}
address, port = sys.argv[1], int(sys.argv[2])
init = struct.pack('>BBHIIHHI', 1, 0, 20, 0x7475, 65536, 1, 1, 1)
head = struct.pack('>HHI', 5000, port, 0)
packet = head + struct.pack('<I', crc32c(head + bytes(4) + init)) + init
raw(address).sendto(packet, (address, 0))
`

const receiver = `${library}
s = raw(sys.argv[1])
print('ready', flush=True)
data, peer = s.recvfrom(2048)
if ':' not in sys.argv[1]: data = data[(data[0] & 15) * 4:]
port = struct.unpack('>H', data[2:4])[0]
right = struct.unpack('<I', data[8:12])[0] == crc32c(data[:8] + bytes(4) + data[12:])
kind = 'INIT' if data[12] == 1 else 'no INIT'
print(port, kind, 'right sum' if right else 'wrong sum', flush=True)
`

const inside = (netns: Netns, script: string, ...words: readonly string[]): readonly string[] => [
  `--net=${netns.path}`,
  ...['/usr/bin/python3', '-c', script, ...words],
]

/** Sends one INIT to an address of another namespace. */
export function sendInit(from: Netns, address: string, port: number): void {
  const done = from.exec(['/usr/bin/python3', '-c', sender, address, String(port)])
  if (done.code !== 0) throw new Error(`Cannot send an INIT to ${address}: ${done.stderr}`)
}

export type Heard = {
  /** "80 INIT right sum": the port that it came to, and what it is. */
  readonly packet: Promise<string>
  readonly close: () => void
}

/** The first SCTP packet that arrives there after this resolves. */
export async function hearSctp(netns: Netns, family: 'v4' | 'v6'): Promise<Heard> {
  const any = family === 'v4' ? '0.0.0.0' : '::'
  const child = spawn('nsenter', [...inside(netns, receiver, any)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const line = async (): Promise<string> => ((await lines.next()).value as string) ?? 'nothing'
  if ((await line()) !== 'ready') throw new Error('Cannot hear SCTP: no raw socket')
  return { packet: line(), close: () => child.kill() }
}
