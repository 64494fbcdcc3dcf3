import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as after } from 'node:timers/promises'
import { ProbeLoop } from '../../src/agent/probe-loop.ts'
import { parseAddress } from '../../src/base/address.ts'
import { parseChecksumErrors } from '../../src/overlay/probe.ts'
import type { ProbeView } from '../../src/overlay/probe-view.ts'
import { openProbeSocket } from '../../src/serve/probe-socket.ts'

// One node's self-test as a process in its namespace: the view as JSON in the first word; a line on
// standard input runs a round; reports are JSON lines.

const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`)

/** Addresses are text in JSON. */
const view = JSON.parse(process.argv[2] ?? '', (key, value: unknown) =>
  key === 'address' ? parseAddress(String(value)) : value,
) as ProbeView

const loop = new ProbeLoop({
  open: openProbeSocket,
  now: () => performance.now(),
  random: Math.random,
  checksumErrors: () => parseChecksumErrors(readFileSync('/proc/self/net/snmp', 'utf8')),
  date: () => new Date().toISOString(),
  wait: (milliseconds, signal) =>
    after(milliseconds, undefined, signal ? { signal } : {}).catch(() => undefined),
  onFault: (text) => say({ fault: text }),
  onReport: (report) => say({ report }),
  timings: { spreadMilliseconds: 0, answerMilliseconds: 400, gapMilliseconds: 20 },
})
loop.update(view)

const isBound = (): boolean => view.ends.every(({ path }) => loop.exchange.has(path))
while (!isBound()) await after(10)
say({ ready: true })
for await (const line of createInterface(process.stdin))
  if (line === 'round') {
    await loop.round()
    say({ done: true })
  } else break
loop.close()
