import { runLater } from '../../support/netns.ts'
import { clusterName, controlPlane, nodeSites, routers, type Segment, type Site } from './places.ts'

const controlPlaneTable = 100
const segments: readonly Segment[] = ['near', 'far']

/** Namespaces are `<cluster>-<name>`, so that `down` knows them without a list. */
export const netnsOf = (name: string): string => `${clusterName}-${name}`
export const netnsPath = (name: string): string => `/run/netns/${netnsOf(name)}`
const fabric = netnsOf('net')

/** One namespace is the switch of each segment and the router between the two. */
export async function makeFabric(): Promise<void> {
  await makeNetns(fabric)
  const lines = segments.flatMap((segment) => [
    `link add ${segment} type bridge`,
    `link set ${segment} up`,
    `addr add ${routers[segment].v4}/24 dev ${segment}`,
    `addr add ${routers[segment].v6}/64 dev ${segment} nodad`,
  ])
  // The router knows no pods; what the control plane sends to them (webhooks, the API server's
  // proxy) is led by a table of its own, as a cloud's routes would do it for a control plane.
  const asked = ['iif', 'near', 'lookup', `${controlPlaneTable}`]
  await batch(fabric, lines)
  await ip(fabric, ['rule', 'add', 'from', controlPlane.v4, ...asked])
  await ip(fabric, ['-6', 'rule', 'add', 'from', controlPlane.v6, ...asked])
}

/** A namespace with `eth0` on its segment, its addresses and a default route past the router. */
export async function plug(site: Site): Promise<void> {
  const netns = netnsOf(site.name)
  await makeNetns(netns)
  const router = routers[site.segment]
  await batch(fabric, [
    `link add ${site.name} type veth peer name eth0 netns ${netns}`,
    `link set ${site.name} master ${site.segment} up`,
  ])
  await batch(netns, [
    'link set lo up',
    'link set eth0 up',
    `addr add ${site.v4}/24 dev eth0`,
    `addr add ${site.v6}/64 dev eth0 nodad`,
    `route add default via ${router.v4} dev eth0`,
    `route add default via ${router.v6} dev eth0`,
  ])
}

/** The port goes with the namespace; what the kernel tears down late is waited for. */
export async function unplug(site: Site): Promise<void> {
  await runLater(['ip', '-n', fabric, 'link', 'del', site.name])
  await runLater(['ip', 'netns', 'del', netnsOf(site.name)])
}

/** The control plane's way to a node's pods. */
export async function routeToPods(site: Site, podCIDRs: readonly string[]): Promise<void> {
  const near = site.segment === 'near'
  for (const podCIDR of podCIDRs) {
    const isV6 = podCIDR.includes(':')
    const node = isV6 ? site.v6 : site.v4
    const router = isV6 ? routers.near.v6 : routers.near.v4
    await batch(netnsOf(controlPlane.name), [
      `route replace ${podCIDR} via ${near ? node : router}`,
    ])
    if (near) continue
    await batch(fabric, [`route replace ${podCIDR} via ${node} table ${controlPlaneTable}`])
  }
}

async function makeNetns(name: string): Promise<void> {
  const made = await runLater(['ip', 'netns', 'add', name])
  if (made.code !== 0) throw new Error(`Cannot make netns ${name}: ${made.stderr.trim()}`)
  const settings = [
    'net/ipv6/conf/default/accept_dad=0',
    'net/ipv4/ip_forward=1',
    'net/ipv6/conf/all/forwarding=1',
  ]
  const script = settings.map((one) => one.replace(/(.*)=(.*)/, 'echo $2 >/proc/sys/$1')).join('; ')
  const set = await runLater(['nsenter', `--net=/run/netns/${name}`, 'sh', '-ec', script])
  if (set.code !== 0) throw new Error(`Cannot set sysctls of ${name}: ${set.stderr.trim()}`)
}

async function ip(netns: string, words: readonly string[]): Promise<void> {
  const done = await runLater(['ip', '-n', netns, ...words])
  if (done.code !== 0) throw new Error(`Cannot ip ${words.join(' ')}: ${done.stderr.trim()}`)
}

async function batch(netns: string, lines: readonly string[]): Promise<void> {
  const input = `${lines.join('\n')}\n`
  const done = await runLater(['ip', '-n', netns, '-batch', '-'], { input })
  if (done.code !== 0) throw new Error(`Cannot ip -batch ${lines.join('; ')}: ${done.stderr}`)
}

/** Removes every namespace of the cluster that is there. */
export async function removeNetworks(): Promise<void> {
  const names = [fabric, ...[controlPlane, ...nodeSites].map(({ name }) => netnsOf(name))]
  await Promise.all(names.map((name) => runLater(['ip', 'netns', 'del', name])))
}
