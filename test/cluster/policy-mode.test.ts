import { test } from 'tap'
import { decodeCiliumPolicy } from '../../src/cluster/decode-cilium-policy.ts'
import { decodeNetworkPolicy } from '../../src/cluster/decode-network-policy.ts'
import { decodeNamespace } from '../../src/cluster/namespace.ts'
import { policyModeAnnotation } from '../../src/cluster/policy-mode.ts'

const metadata = (value?: unknown) => ({
  namespace: 'x',
  name: 'p',
  ...(value === undefined ? {} : { annotations: { [policyModeAnnotation]: value } }),
})
const decoders = {
  Namespace: (value?: unknown) => decodeNamespace({ metadata: metadata(value) }),
  NetworkPolicy: (value?: unknown) => decodeNetworkPolicy({ metadata: metadata(value), spec: {} }),
  CiliumNetworkPolicy: (value?: unknown) =>
    decodeCiliumPolicy({
      metadata: metadata(value),
      spec: { endpointSelector: {}, ingress: [{}] },
    }),
}

for (const [kind, decode] of Object.entries(decoders))
  test(`the mode of a ${kind}`, (t) => {
    t.equal(decode().value?.mode, undefined, 'says nothing')
    t.equal(decode('audit').value?.mode, 'audit')
    t.equal(decode('enforce').value?.mode, 'enforce')
    const { value, problems } = decode('Audit')
    t.equal(value?.mode, 'enforce', 'a slip enforces')
    t.match(problems, [
      {
        kind: 'wrong',
        path: `metadata.annotations.${policyModeAnnotation}`,
        found: '"Audit"',
        accepted: 'enforce, audit',
      },
    ])
    t.equal(decode(7).value?.mode, 'enforce')
    t.end()
  })
