import { fileURLToPath } from 'node:url'
import { type Netns, runLater } from './netns.ts'

const program = fileURLToPath(new URL('traffic-program.ts', import.meta.url))

export type Flow = Readonly<{
  from: Netns
  to: Netns
  /** The receiver's address. */
  address: string
  seconds: number
  /** Bytes a second are counted only after this: a burst is no rate. */
  warmupSeconds?: number
}>

export type Measured = Readonly<{
  bitsPerSecond: number
  /** Received before the warm-up was over. */
  earlyBytes: number
}>

/** One TCP connection that sends as fast as it can; what arrived, by the receiver's clock. */
export async function measure(flow: Flow): Promise<Measured> {
  const { from, to, address, seconds, warmupSeconds = 0.5 } = flow
  const port = String(5000 + Math.floor(Math.random() * 20_000))
  const node = (netns: Netns, ...words: readonly string[]) =>
    runLater(['nsenter', `--net=${netns.path}`, process.execPath, program, ...words])
  const receiver = node(to, 'receive', address, port, String(seconds), String(warmupSeconds))
  const sender = node(from, 'send', address, port)
  const [received, sent] = await Promise.all([receiver, sender])
  if (received.code !== 0) throw new Error(`Cannot measure: ${received.stderr}${sent.stderr}`)
  return JSON.parse(received.stdout) as Measured
}

/** The slowest of most echoes: of ten in a second and a half, one may meet a busy machine. */
export async function echoMilliseconds(from: Netns, to: string): Promise<number> {
  const ping = ['/usr/bin/ping', '-n', '-c', '10', '-i', '0.1', '-W', '1', to]
  const { stdout } = await runLater(['nsenter', `--net=${from.path}`, ...ping])
  const times = [...stdout.matchAll(/ time=([\d.]+) ms/g)].map(([, text]) => Number(text))
  return times.sort((left, right) => left - right).at(-2) ?? Number.POSITIVE_INFINITY
}
