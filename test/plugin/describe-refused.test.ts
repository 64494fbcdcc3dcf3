import { test } from 'tap'
import { describeAttachment, refuseUnfit } from '../../src/plugin/describe.ts'
import { faultOf } from '../support/fault-of.ts'
import { type Request, sourceOf } from './request.ts'

const oneMac = 'a unicast MAC address such as 0a:58:0a:f4:01:05'

const refused: readonly Readonly<{ why: string; request: Request; details: string }>[] = [
  {
    why: 'an MTU that IPv6 may not have (RFC 8200 section 5)',
    request: { keys: { mtu: 1279 }, ips: ['fd00::5/64'] },
    details: 'mtu is 1279; accepted: at least 1280 bytes, as the pod has an IPv6 address',
  },
  {
    why: 'an uplink that IPv6 cannot use',
    request: { uplinkMtuBytes: 1000, ips: ['10.1.0.5/24', 'fd00::5/64'] },
    details: 'mtu is 1000; accepted: at least 1280 bytes, as the pod has an IPv6 address',
  },
  {
    why: 'a destination without a length',
    request: { routes: [{ dst: '10.0.0.0/8' }, { dst: '10.9.0.0' }] },
    details: 'ipam.routes[1].dst is "10.9.0.0"; accepted: a network such as 0.0.0.0/0',
  },
  {
    why: 'a gateway of the other family',
    request: { routes: [{ dst: '::/0', gw: '10.1.0.1' }] },
    details: 'ipam.routes[0].gw is "10.1.0.1"; accepted: an IPv6 address',
  },
  {
    why: 'a gateway that is no address',
    request: { routes: [{ dst: '0.0.0.0/0', gw: 'router' }] },
    details: 'ipam.routes[0].gw is "router"; accepted: an IPv4 address',
  },
  {
    why: 'an exception from masquerade that is no network',
    request: { keys: { ipMasq: true, nonMasqueradeCIDRs: ['10.0.0.0/8', '10.0.0.1'] } },
    details: 'nonMasqueradeCIDRs[1] is "10.0.0.1"; accepted: a network such as 10.0.0.0/8',
  },
  {
    why: 'a multicast MAC of the capability',
    request: { keys: { runtimeConfig: { mac: '01:00:5e:00:00:01' } } },
    details: `runtimeConfig.mac is "01:00:5e:00:00:01"; accepted: ${oneMac}`,
  },
  {
    why: 'a MAC of the pod’s annotation',
    request: {
      keys: {
        runtimeConfig: { 'io.kubernetes.cri.pod-annotations': { 'tulle.dev/mac': '0a:58' } },
        args: { cni: { mac: '0a:58:0a:01:00:05' } },
      },
    },
    details: `annotation tulle.dev/mac is "0a:58"; accepted: ${oneMac}`,
  },
  {
    why: 'a MAC of args.cni that is too short',
    request: { keys: { args: { cni: { mac: '0a:58' } } } },
    details: `args.cni.mac is "0a:58"; accepted: ${oneMac}`,
  },
  {
    why: 'a MAC of CNI_ARGS that is all zeros',
    request: { args: 'MAC=00:00:00:00:00:00' },
    details: `CNI_ARGS MAC is "00:00:00:00:00:00"; accepted: ${oneMac}`,
  },
]

for (const { why, request, details } of refused) {
  test(`refused: ${why}`, async (t) => {
    const fault = faultOf(() => describeAttachment(sourceOf(request)))
    t.equal(fault.code, 7)
    t.equal(fault.details, details)
  })
}

const hostLocal = { type: 'host-local', ranges: [[{ subnet: '10.1.0.0/24' }]] }

for (const { why, keys, details } of [
  {
    why: 'an ipam that does not say which',
    keys: { ipam: { subnet: '10.1.0.0/24' } },
    details: /^ipam\.type is (undefined|absent); accepted: "host-local", or the name/,
  },
  {
    why: 'an ipam whose type is empty',
    keys: { ipam: { type: '', subnet: '10.1.0.0/24' } },
    details: /^ipam\.type is ""; accepted: "host-local", or the name/,
  },
  {
    why: 'a routed pod without addresses',
    keys: { mode: 'routed' },
    details: /^ipam is (undefined|absent); accepted: .*only mode "bridge" works without addresses$/,
  },
  {
    why: 'nothing but a name',
    keys: {},
    details: /^ipam is (undefined|absent); accepted: an IPAM such as/,
  },
  {
    why: 'a routed pod with an empty ipam',
    keys: { ipam: {} },
    details: /^ipam is \{\}; accepted: an IPAM such as/,
  },
  {
    why: 'no address in a result that must carry one',
    keys: { cniVersion: '0.2.0', mode: 'bridge' },
    details: /a result of CNI 0\.2\.0 must carry an address/,
  },
  {
    why: 'hairpin on a bridge that hears everything',
    keys: { mode: 'bridge', hairpinMode: true, promiscMode: true },
    details: /^promiscMode is true; accepted: only one of hairpinMode and promiscMode/,
  },
  {
    why: 'policies for a pod without addresses',
    keys: { mode: 'bridge', policy: { enforce: true } },
    details: /^policy\.enforce is true; accepted: false, or an IPAM: policies hold for addresses$/,
  },
]) {
  test(`unfit: ${why}`, async (t) => {
    const fault = faultOf(() => refuseUnfit(sourceOf({ keys }).config))
    t.equal(fault.code, 7)
    t.match(fault.details, details)
  })
}

for (const { why, keys } of [
  { why: 'routed with host-local', keys: { ipam: hostLocal } },
  { why: 'routed with another plugin', keys: { ipam: { type: 'calico-ipam' } } },
  { why: 'a bridge without addresses', keys: { mode: 'bridge' } },
  { why: 'a bridge with an empty ipam', keys: { mode: 'bridge', ipam: {} } },
  {
    why: 'the oldest version whose result may be without an address',
    keys: { cniVersion: '0.3.0', mode: 'bridge' },
  },
  { why: 'the oldest version, with addresses', keys: { cniVersion: '0.1.0', ipam: hostLocal } },
  { why: 'hairpin alone', keys: { mode: 'bridge', hairpinMode: true } },
  {
    why: 'keys of a bridge mean nothing to a routed pod',
    keys: { ipam: hostLocal, hairpinMode: true, promiscMode: true },
  },
]) {
  test(`fit: ${why}`, async (t) => t.doesNotThrow(() => refuseUnfit(sourceOf({ keys }).config)))
}
