import { test } from 'tap'
import type { Attachment } from '../../src/datapath/attachment.ts'
import { describeAttachment } from '../../src/plugin/describe.ts'
import { type Request, sourceOf } from './request.ts'

const describe = (request: Request): Attachment => describeAttachment(sourceOf(request))

const routedPod: Attachment = {
  network: 'net',
  container: 'c1',
  ifname: 'eth0',
  mode: 'routed',
  // of the name alone: test/datapath/identity.test.ts
  link: 'tul26026bd18b7',
  mtuBytes: 1500,
  podMac: 'd2:a8:a3:72:56:60',
  hostMac: '2a:e8:b7:72:c3:6d',
  bridge: null,
  ips: [{ address: '10.1.0.5', subnetBits: 24, gateway: '10.1.0.1' }],
  routes: [{ dst: '0.0.0.0/0', gw: null }],
  masqueradeExcept: null,
  spoofCheck: true,
}
const plainBridge = {
  name: 'cni0',
  addresses: [],
  forceAddress: false,
  hairpin: false,
  isolated: false,
  promisc: false,
}
const bridgePod: Attachment = {
  ...routedPod,
  mode: 'bridge',
  bridge: plainBridge,
  routes: [],
}
const dualIps = ['10.1.0.5/24 10.1.0.1', 'fd00::5/64 fd00::1']
const dual = [
  { address: '10.1.0.5', subnetBits: 24, gateway: '10.1.0.1' },
  { address: 'fd00::5', subnetBits: 64, gateway: 'fd00::1' },
]
const mac = '0a:58:0a:01:00:05'

for (const { why, request, want } of [
  { why: 'routed is the default', request: {}, want: routedPod },
  { why: 'as it is by name', request: { keys: { mode: 'routed' } }, want: routedPod },
  { why: 'a bridge and nothing else', request: { keys: { mode: 'bridge' } }, want: bridgePod },
  {
    why: 'a bridge that is a gateway carries the gateways’ addresses',
    request: { keys: { mode: 'bridge', isGateway: true, bridge: 'br1' }, ips: dualIps },
    want: {
      ...bridgePod,
      ips: dual,
      bridge: { ...plainBridge, name: 'br1', addresses: ['10.1.0.1/24', 'fd00::1/64'] },
    },
  },
  {
    why: 'isDefaultGateway means isGateway, and a default route for each family',
    request: { keys: { mode: 'bridge', isDefaultGateway: true }, ips: dualIps },
    want: {
      ...bridgePod,
      ips: dual,
      bridge: { ...plainBridge, addresses: ['10.1.0.1/24', 'fd00::1/64'] },
      routes: [
        { dst: '0.0.0.0/0', gw: '10.1.0.1' },
        { dst: '::/0', gw: 'fd00::1' },
      ],
    },
  },
  {
    why: 'a default route that is configured is not made twice',
    request: {
      keys: { mode: 'bridge', isDefaultGateway: true },
      routes: [{ dst: '0.0.0.0/0', gw: '10.1.0.9' }],
    },
    want: {
      ...bridgePod,
      bridge: { ...plainBridge, addresses: ['10.1.0.1/24'] },
      routes: [{ dst: '0.0.0.0/0', gw: '10.1.0.9' }],
    },
  },
  {
    why: 'IPAM names no gateway: the first address, as the reference bridge plugin has it',
    request: { keys: { mode: 'bridge', isGateway: true }, ips: ['10.1.0.5/24'] },
    want: { ...bridgePod, bridge: { ...plainBridge, addresses: ['10.1.0.1/24'] } },
  },
  {
    why: 'two pools of one subnet, one gateway',
    request: {
      keys: { mode: 'bridge', isGateway: true },
      ips: ['10.1.0.5/24 10.1.0.1', '10.1.0.6/24 10.1.0.1'],
    },
    want: {
      ...bridgePod,
      ips: [routedPod.ips[0], { address: '10.1.0.6', subnetBits: 24, gateway: '10.1.0.1' }],
      bridge: { ...plainBridge, addresses: ['10.1.0.1/24'] },
    },
  },
  {
    why: 'every wish for the port and the bridge',
    request: {
      keys: { mode: 'bridge', forceAddress: true, promiscMode: true, portIsolation: true },
    },
    want: {
      ...bridgePod,
      bridge: { ...plainBridge, forceAddress: true, isolated: true, promisc: true },
    },
  },
  {
    why: 'hairpin',
    request: { keys: { mode: 'bridge', hairpinMode: true } },
    want: { ...bridgePod, bridge: { ...plainBridge, hairpin: true } },
  },
  {
    why: 'a bridge without addresses',
    request: { keys: { mode: 'bridge', isGateway: true }, ips: [] },
    want: { ...bridgePod, ips: [] },
  },
  {
    why: 'a routed pod without a gateway is given none: it needs none',
    request: { ips: ['10.1.0.4/31'] },
    want: { ...routedPod, ips: [{ address: '10.1.0.4', subnetBits: 31, gateway: null }] },
  },
  {
    why: 'nor does isGateway give it one: there is no bridge',
    request: { keys: { isGateway: true }, ips: ['10.1.0.4/31'] },
    want: { ...routedPod, ips: [{ address: '10.1.0.4', subnetBits: 31, gateway: null }] },
  },
  {
    why: 'the least MTU of IPv6',
    request: { keys: { mtu: 1280 }, ips: dualIps, routes: [{ dst: '10.0.0.0/8' }] },
    want: {
      ...routedPod,
      mtuBytes: 1280,
      ips: dual,
      routes: [
        { dst: '10.0.0.0/8', gw: null },
        { dst: '::/0', gw: null },
      ],
    },
  },
  {
    why: 'routes of one family leave the other its default route',
    request: { ips: dualIps, routes: [{ dst: '10.0.0.0/8' }] },
    want: {
      ...routedPod,
      ips: dual,
      routes: [
        { dst: '10.0.0.0/8', gw: null },
        { dst: '::/0', gw: null },
      ],
    },
  },
  {
    why: 'a route as CNI 1.1.0 writes it, its host bits cleared',
    request: {
      routes: [
        {
          dst: '10.9.1.2/16',
          gw: '10.1.0.9',
          mtu: 1400,
          advmss: 1360,
          priority: 0,
          table: 7,
          scope: 0,
        },
      ],
    },
    want: {
      ...routedPod,
      routes: [
        {
          dst: '10.9.0.0/16',
          gw: '10.1.0.9',
          mtu: 1400,
          advmss: 1360,
          priority: 0,
          table: 7,
          scope: 0,
        },
      ],
    },
  },
  {
    why: 'an empty gateway is none, as Go reads it',
    request: { routes: [{ dst: '0.0.0.0/0', gw: '' }] },
    want: routedPod,
  },
  {
    why: 'the uplink’s MTU',
    request: { uplinkMtuBytes: 1450 },
    want: { ...routedPod, mtuBytes: 1450 },
  },
  {
    why: '0 is the uplink’s too',
    request: { keys: { mtu: 0 }, uplinkMtuBytes: 9000 },
    want: { ...routedPod, mtuBytes: 9000 },
  },
  {
    why: 'the operator’s MTU, which IPv4 may have down to 68',
    request: { keys: { mtu: 68 }, uplinkMtuBytes: 9000 },
    want: { ...routedPod, mtuBytes: 68 },
  },
  {
    why: 'masquerade without exceptions of one’s own',
    request: { keys: { ipMasq: true } },
    want: { ...routedPod, masqueradeExcept: [] },
  },
  {
    why: 'masquerade with some, their host bits cleared',
    request: { keys: { ipMasq: true, nonMasqueradeCIDRs: ['10.9.1.2/8', 'FD00::1/8'] } },
    want: { ...routedPod, masqueradeExcept: ['10.0.0.0/8', 'fd00::/8'] },
  },
  {
    why: 'exceptions from no masquerade are none',
    request: { keys: { nonMasqueradeCIDRs: ['10.0.0.0/8'] } },
    want: routedPod,
  },
  {
    why: 'a pod that may send what it likes',
    request: { keys: { spoofCheck: false } },
    want: { ...routedPod, spoofCheck: false },
  },
  {
    why: 'a MAC of the capability, before all others',
    request: {
      keys: { runtimeConfig: { mac }, args: { cni: { mac: '0a:00:00:00:00:02' } } },
      args: 'MAC=0a:00:00:00:00:03',
    },
    want: { ...routedPod, podMac: mac },
  },
  {
    why: 'a MAC of args.cni, before CNI_ARGS',
    request: { keys: { args: { cni: { mac } } }, args: 'MAC=0a:00:00:00:00:03' },
    want: { ...routedPod, podMac: mac },
  },
  {
    why: 'a MAC of CNI_ARGS',
    request: { args: `MAC=${mac}` },
    want: { ...routedPod, podMac: mac },
  },
  {
    why: 'a MAC in other letters',
    request: { args: 'MAC=0A-58-0A-01-00-05' },
    want: { ...routedPod, podMac: mac },
  },
  {
    why: 'an empty MAC is none',
    request: { keys: { runtimeConfig: { mac: '' } }, args: 'MAC=' },
    want: routedPod,
  },
  {
    why: 'the Kubernetes pod, as the runtime names it',
    request: { args: 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=api-0;K8S_POD_UID=6b0b' },
    want: { ...routedPod, pod: { namespace: 'shop', name: 'api-0', uid: '6b0b' } },
  },
  {
    why: 'a runtime that does not send its UID',
    request: { args: 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=api-0;K8S_POD_UID=' },
    want: { ...routedPod, pod: { namespace: 'shop', name: 'api-0' } },
  },
  {
    why: 'a name without a namespace is no pod’s',
    request: { args: 'K8S_POD_NAME=api-0;K8S_POD_UID=6b0b' },
    want: routedPod,
  },
  {
    why: 'policies hold for it',
    request: { keys: { policy: { enforce: true, waitSeconds: 0 } } },
    want: { ...routedPod, isPoliced: true },
  },
  {
    why: 'policies that are not enforced are none',
    request: { keys: { policy: { enforce: false } } },
    want: routedPod,
  },
]) {
  test(`attachment: ${why}`, async (t) => t.strictSame(describe(request), want))
}
