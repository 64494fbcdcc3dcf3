import { test } from 'tap'
import { parseMac } from '../../src/base/mac.ts'
import { describeAttachment, resultOf } from '../../src/plugin/describe.ts'
import { netns, type Request, sourceOf } from './request.ts'

const bridgeLink = { mac: parseMac('0a:58:00:00:00:09'), mtuBytes: 1450 }

function result(request: Request, ipamDns: object = {}) {
  const source = sourceOf(request)
  return resultOf(describeAttachment(source), { ...source, dns: ipamDns, bridgeLink })
}

const host = { name: 'tul26026bd18b7', mac: '2a:e8:b7:72:c3:6d', mtu: 1500 }
const pod = { name: 'eth0', mac: 'd2:a8:a3:72:56:60', mtu: 1500, sandbox: netns }
const dualIps = ['10.1.0.5/24 10.1.0.1', 'fd00::5/64 fd00::1']

test('routed: host end, pod; addresses of one host each', async (t) => {
  t.strictSame(result({ ips: dualIps }), {
    interfaces: [host, pod],
    ips: [
      { address: '10.1.0.5/32', gateway: '10.1.0.1', interface: 1 },
      { address: 'fd00::5/128', gateway: 'fd00::1', interface: 1 },
    ],
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
    dns: {},
  })
})

test('bridge: bridge, host end, pod; addresses with their subnet', async (t) => {
  t.strictSame(result({ keys: { mode: 'bridge', isDefaultGateway: true }, ips: dualIps }), {
    interfaces: [{ name: 'cni0', mac: '0a:58:00:00:00:09', mtu: 1450 }, host, pod],
    ips: [
      { address: '10.1.0.5/24', gateway: '10.1.0.1', interface: 2 },
      { address: 'fd00::5/64', gateway: 'fd00::1', interface: 2 },
    ],
    routes: [
      { dst: '0.0.0.0/0', gw: '10.1.0.1' },
      { dst: '::/0', gw: 'fd00::1' },
    ],
    dns: {},
  })
})

test('no gateway is no key, and routes keep what they say', async (t) => {
  const routes = [{ dst: '10.0.0.0/8', mtu: 1400, priority: 0 }]
  const { ips, routes: told } = result({ ips: ['10.1.0.4/31'], routes })
  t.strictSame(ips, [{ address: '10.1.0.4/32', interface: 1 }])
  t.strictSame(told, routes)
})

test('a bridge without addresses', async (t) => {
  const { ips, routes, interfaces } = result({ keys: { mode: 'bridge' }, ips: [] })
  t.strictSame([ips, routes, interfaces.length], [[], [], 3])
})

const ipamDns = { nameservers: ['10.0.0.1'], domain: 'ipam' }

for (const { why, keys, want } of [
  { why: 'what IPAM says', keys: {}, want: ipamDns },
  {
    why: 'the configuration’s own, whole, before IPAM’s',
    keys: { dns: { search: ['conf'] } },
    want: { search: ['conf'] },
  },
  { why: 'an empty one is none', keys: { dns: {} }, want: ipamDns },
  {
    why: 'the runtime’s before all, under the result’s names',
    keys: {
      dns: { search: ['conf'] },
      runtimeConfig: { dns: { Servers: ['10.96.0.10'], Searches: ['svc'], Options: ['ndots:5'] } },
    },
    want: { nameservers: ['10.96.0.10'], search: ['svc'], options: ['ndots:5'] },
  },
  {
    why: 'an empty one of the runtime, as containerd sends it, is none',
    keys: { runtimeConfig: { dns: { Servers: [], Searches: null, Options: [] } } },
    want: ipamDns,
  },
]) {
  test(`dns: ${why}`, async (t) => t.strictSame({ ...result({ keys }, ipamDns).dns }, want))
}
