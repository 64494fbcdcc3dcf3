import { setTimeout } from 'node:timers/promises'
import { runLater } from '../support/netns.ts'
import type { Member } from './cluster.ts'

/** A flood from one pod to another for as long as `act` takes, and the packets that it lost. */
export async function lostDuring(
  from: Member,
  to: Member,
  act: () => Promise<void>,
): Promise<number> {
  const words = ['ping', '-n', '-q', '-i', '0.005', '-w', '20', to.host.podAddress(4)]
  const netns = from.host.pod.path
  const flood = runLater([
    'nsenter',
    `--net=${netns}`,
    'sh',
    '-c',
    `${words.join(' ')} & echo $!; wait`,
  ])
  // Packets before and after are counted too.
  await setTimeout(100)
  await act()
  await setTimeout(100)
  // SIGINT makes ping say what it counted.
  from.host.pod.exec([
    'sh',
    '-c',
    `for p in $(ip netns pids ${from.host.pod.name}); do
    grep -q ^ping /proc/$p/comm 2>/dev/null && kill -INT $p; done; true`,
  ])
  const { stdout } = await flood
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(stdout) ?? []
  if (sent === undefined || Number(sent) < 20) throw new Error(`Cannot count: ${stdout}`)
  return Number(sent) - Number(received)
}
