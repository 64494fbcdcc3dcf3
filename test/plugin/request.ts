import { parsePrefix } from '../../src/base/prefix.ts'
import { parseConfig } from '../../src/cni/config.ts'
import { parseEnvironment } from '../../src/cni/environment.ts'
import type { RouteConfig } from '../../src/cni/network-config.ts'
import type { Given, Source } from '../../src/plugin/describe.ts'

export type Request = Readonly<{
  keys?: object
  args?: string
  /** "10.1.0.5/24 10.1.0.1": an address that IPAM gave, and its gateway if there is one. */
  ips?: readonly string[]
  routes?: readonly RouteConfig[]
  uplinkMtuBytes?: number
}>

export const netns = '/run/netns/pod'

function given(text: string): Given {
  const [address = '', gateway] = text.split(' ')
  const prefix = parsePrefix(address)
  if (prefix === undefined) throw new Error(`Cannot read ${address}`)
  const host = gateway === undefined ? undefined : `${gateway}/${gateway.includes(':') ? 128 : 32}`
  return { prefix, gateway: host === undefined ? undefined : parsePrefix(host)?.address }
}

/** What ADD knows when it describes the attachment: parsed as the plugin parses it. */
export function sourceOf(request: Request): Source {
  const { keys = {}, args = '', ips = ['10.1.0.5/24 10.1.0.1'], routes = [] } = request
  const environment = parseEnvironment({
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: 'c1',
    CNI_NETNS: netns,
    CNI_IFNAME: 'eth0',
    CNI_ARGS: args,
  })
  return {
    id: { network: 'net', container: 'c1', ifname: 'eth0' },
    config: parseConfig(JSON.stringify({ cniVersion: '1.1.0', name: 'net', ...keys })),
    environment,
    ips: ips.map(given),
    routes,
    uplinkMtuBytes: request.uplinkMtuBytes ?? 1500,
  }
}
