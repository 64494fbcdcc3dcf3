import { test } from 'tap'
import { parseConfig } from '../../src/cni/config.ts'
import { refuseUnsupported } from '../../src/cni/unsupported.ts'
import { faultOf } from '../support/fault-of.ts'

const config = (keys: object) => parseConfig(JSON.stringify({ name: 'net', ...keys }))

// The specification's code 2: the message must name the key, the details its value.
for (const { keys, key, value } of [
  { keys: { vlan: 5 }, key: 'vlan', value: '5' },
  { keys: { vlanTrunk: [{ id: 5 }] }, key: 'vlanTrunk', value: '[{"id":5}]' },
  { keys: { preserveDefaultVlan: true }, key: 'preserveDefaultVlan', value: 'true' },
  { keys: { enabledad: true }, key: 'enabledad', value: 'true' },
  { keys: { disableContainerInterface: true }, key: 'disableContainerInterface', value: 'true' },
  { keys: { ipMasqBackend: 'iptables' }, key: 'ipMasqBackend', value: '"iptables"' },
]) {
  test(`${key} ${value} is refused, not passed over in silence`, async (t) => {
    const fault = faultOf(() => refuseUnsupported(config(keys)))
    t.equal(fault.code, 2)
    t.match(fault.message, key)
    t.ok(fault.details.startsWith(`${key} is ${value}; `), fault.details)
    t.match(fault.details, /; \w.{3,}/, 'and says what to do')
  })
}

for (const { why, keys } of [
  { why: 'nothing of the kind', keys: {} },
  { why: 'VLAN 0 is none', keys: { vlan: 0 } },
  { why: 'an empty trunk is none', keys: { vlanTrunk: [] } },
  { why: 'neither is a null one', keys: { vlanTrunk: null } },
  { why: 'no duplicate address detection is what we do', keys: { enabledad: false } },
  { why: 'a container interface is made', keys: { disableContainerInterface: false } },
  { why: 'masquerade by nftables is ours', keys: { ipMasqBackend: 'nftables' } },
  { why: 'an empty text is none, as Go reads it', keys: { ipMasqBackend: '' } },
  { why: 'host ports', keys: { runtimeConfig: { portMappings: [{ hostPort: 1 }] } } },
  { why: 'no ports', keys: { runtimeConfig: { portMappings: [] } } },
  { why: 'a nil list of ports', keys: { runtimeConfig: { portMappings: null } } },
  { why: 'no limits', keys: { runtimeConfig: { bandwidth: null } } },
  { why: 'empty limits', keys: { runtimeConfig: { bandwidth: {} } } },
  { why: 'limits', keys: { RuntimeConfig: { Bandwidth: { IngressRate: 1 } } } },
]) {
  test(`accepted: ${why} (${JSON.stringify(keys)})`, async (t) =>
    t.doesNotThrow(() => refuseUnsupported(config(keys))))
}
