import t, { type Test } from 'tap'
import {
  added,
  addressesOf,
  check,
  deleted,
  type Families,
  families,
  type Mode,
  modes,
  netconf,
  pools,
  type Result,
  type Version,
} from '../support/attachment.ts'
import { versions } from '../support/cni.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import { watchResidue } from '../support/residue.ts'
import { resultFaults } from '../support/shape.ts'

t.setTimeout(240_000)

const wanted = (of: Families): readonly string[] =>
  of === 'dual' ? [pools.v4.prefix, pools.v6.prefix] : [pools[of].prefix]

/** The shapes of 0.3.0 and later name the interfaces; the older ones know none. */
const namesInterfaces = (version: Version): boolean => !['0.1.0', '0.2.0'].includes(version)
const hasCheck = (version: Version): boolean => ['0.4.0', '1.0.0', '1.1.0'].includes(version)

function expectResult(t: Test, result: Result, pod: Pod, mode: Mode, version: Version): void {
  t.same(resultFaults(result, version), [])
  if (!namesInterfaces(version)) return
  const links = result.interfaces ?? []
  const index = mode === 'bridge' ? 2 : 1
  t.equal(links.length, index + 1, 'interfaces: bridge (if any), host veth, container')
  t.same([links[index]?.name, links[index]?.sandbox], [pod.ifname, pod.netns.path])
  t.ok(links.slice(0, index).every(({ sandbox }) => sandbox === undefined))
  t.ok(result.ips?.every((one) => one.interface === index))
  const [link] = pod.netns.ipJson('link', 'show', pod.ifname)
  t.equal(links[index]?.mac, link?.address, 'the MAC is the real one')
  if (version === '1.1.0') t.equal(links[index]?.mtu, link?.mtu, 'the MTU is the real one')
}

function lifeOfAPod(t: Test, host: Host, mode: Mode, of: Families, version: Version): void {
  const pod = host.pod()
  const conf = netconf(host, { mode, families: of, version })
  const left = watchResidue(host, [pod.netns])
  const result = added(pod, conf)
  expectResult(t, result, pod, mode, version)
  const addresses = addressesOf(result)
  t.equal(addresses.length, wanted(of).length)
  t.ok(wanted(of).every((prefix, index) => addresses[index]?.startsWith(prefix)))
  const inPod = pod.netns.ipJson('addr', 'show', 'dev', pod.ifname)
  const shown = JSON.stringify(inPod)
  t.ok(
    addresses.every((address) => shown.includes(`"${address}"`)),
    'the pod has the addresses',
  )
  if (hasCheck(version)) {
    const checked = check(pod, conf, result)
    t.same([checked.code, checked.stdout], [0, ''], 'CHECK agrees in silence')
  }
  deleted(pod, { ...conf, prevResult: result })
  t.same(left(), [], 'DEL leaves nothing')
}

for (const mode of modes) {
  for (const of of families) {
    t.test(`${mode} ${of}`, (t) =>
      withHost(async (host) => {
        for (const version of versions) {
          await t.test(`CNI ${version}`, async (t) => lifeOfAPod(t, host, mode, of, version))
        }
      }),
    )
  }
}
