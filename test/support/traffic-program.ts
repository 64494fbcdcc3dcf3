// One end of a TCP connection, run in a namespace of its own by traffic.ts:
//   receive ADDRESS PORT SECONDS WARMUP     counts what comes, prints it, ends the connection
//   send ADDRESS PORT                       sends until the other end has had enough
import { connect, createServer, type Socket } from 'node:net'

const [role, address = '', port = '', seconds = '2', warmup = '0'] = process.argv.slice(2)

function receive(): void {
  const server = createServer((socket) => count(socket).then(() => server.close()))
  server.listen(Number(port), address)
}

async function count(socket: Socket): Promise<void> {
  const start = performance.now()
  let early = 0
  let total = 0
  let first = 0
  let last = 0
  const done = new Promise<void>((resolve) => {
    socket.on('data', (bytes) => {
      const now = performance.now()
      if (now - start < Number(warmup) * 1000) {
        early += bytes.length
        first = now
        return
      }
      total += bytes.length
      last = now
      if (now - start > Number(seconds) * 1000) resolve()
    })
    socket.on('error', () => resolve())
  })
  await done
  socket.destroy()
  // From the last byte of the warm-up to the last byte of all.
  const bitsPerSecond = (total * 8000) / (last - first)
  process.stdout.write(JSON.stringify({ bitsPerSecond, earlyBytes: early }))
}

function send(): void {
  const bytes = Buffer.alloc(256 * 1024)
  const socket = connect({ host: address, port: Number(port) })
  const fill = (): void => {
    while (socket.write(bytes)) {}
  }
  socket.on('connect', fill)
  socket.on('drain', fill)
  socket.on('error', (fault: NodeJS.ErrnoException) => {
    // The receiver may take its time to start.
    if (fault.code === 'ECONNREFUSED') setTimeout(send, 20)
  })
}

if (role === 'receive') receive()
else send()
