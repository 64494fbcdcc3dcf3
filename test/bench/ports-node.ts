import { type ChildProcess, spawn } from 'node:child_process'
import { call } from '../support/cni.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { encodePorts } from './conf.ts'
import { makeNode } from './node.ts'

/** Of the node's uplink, and the port that leads to the echo. */
export const nodeAddress = '192.0.2.2'
export const echoHostPort = '20000'
const echoPort = 7
/** The host port that each measured ADD asks for. */
export const nextHostPort = 15_000

export type PortsNode = {
  readonly outside: Netns
  readonly node: Netns
  readonly close: () => void
}

/**
 * A node with a pod that echoes UDP behind a host port, `mappings` host ports in all, and somebody
 * outside to ask it.
 */
export function makePortsNode(asked: {
  readonly executable: string
  readonly rtt: string
  readonly store: string
  readonly mappings: number
}): PortsNode {
  const { executable, rtt, store, mappings } = asked
  const open: Netns[] = []
  let server: ChildProcess | undefined
  const close = (): void => {
    server?.kill('SIGKILL')
    for (const namespace of open.splice(0)) namespace.close()
  }
  const keep = (namespace: Netns): Netns => {
    open.push(namespace)
    return namespace
  }
  try {
    const [outside, pod] = [keep(makeNetns('bench-outside')), keep(makeNetns('bench-pod'))]
    const node = keep(makeNode(outside, 0))
    outside.ip('addr', 'add', '192.0.2.1/24', 'dev', 'node0')
    const mapping = { hostPort: Number(echoHostPort), containerPort: echoPort, protocol: 'udp' }
    const ran = call({
      verb: 'ADD',
      plugin: executable,
      conf: encodePorts(store, mapping),
      node,
      container: 'echo',
      netns: pod.path,
      ifname: 'eth0',
      path: '',
    })
    if (ran.code !== 0) throw new Error(`Cannot attach the echo: ${ran.stdout}`)
    server = spawn('ip', ['netns', 'exec', pod.name, rtt, 'serve', String(echoPort)])
    fillPorts(node, mappings - 1)
    return { outside, node, close }
  } catch (fault) {
    close()
    throw fault
  }
}

const firstPort = 30_000

/** As many mappings of other pods as a large node has, in the map that Tulle's own are in. */
function fillPorts(node: Netns, count: number): void {
  if (count === 0) return
  const elements = Array.from({ length: count }, (_, at) => {
    const address = `10.88.${100 + Math.floor(at / 250)}.${1 + (at % 250)}`
    return `tcp . ${firstPort + at} : ${address} . 80`
  })
  const input = `add element inet tulle hostport4 { ${elements.join(', ')} }\n`
  const done = node.exec(['nft', '-f', '-'], { input })
  if (done.code !== 0) throw new Error(`Cannot add host ports: ${done.stderr.slice(0, 300)}`)
}
