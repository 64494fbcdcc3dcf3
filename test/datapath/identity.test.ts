import fc from 'fast-check'
import { test } from 'tap'
import { nameOf } from '../../src/datapath/attachment.ts'
import { bridgeMacOf, digestOf, identityOf } from '../../src/datapath/identity.ts'
import { holds } from '../base/law.ts'

// Names must never change: DEL of a pod that an older Tulle made finds its link by them.
// printf 'net\0c1\0eth0' | sha256sum, and so on; MACs are bytes 8–13 (host) and 16–21 (pod) with
// the two low bits of the first one set to "locally administered, unicast".
for (const row of [
  {
    id: { network: 'net', container: 'c1', ifname: 'eth0' },
    hash: '26026bd18b7cde682ae8b772c36d68c0d0a8a3725660b2ab706459f2e3a4d588',
    link: 'tul26026bd18b7',
    hostMac: '2a:e8:b7:72:c3:6d',
    podMac: 'd2:a8:a3:72:56:60',
  },
  {
    id: {
      network: 'k8s-pod-network',
      container: '0f5c8b2a7d3e4f60819273645546372819a0b1c2d3e4f5061728394a5b6c7d8e',
      ifname: 'eth0',
    },
    hash: '5e63161208cddebcffd4d247b724f06bc606e10a183ac0b5ccaebe83e4d0a342',
    link: 'tul5e63161208c',
    hostMac: 'fe:d4:d2:47:b7:24',
    podMac: 'c6:06:e1:0a:18:3a',
  },
  {
    id: { network: 'net', container: 'cé', ifname: 'net1' },
    hash: 'ed88f426a2ff1c69108e767fe4dabd84795ec52c5bc65b76cee3a44f7673fee4',
    link: 'tuled88f426a2f',
    hostMac: '12:8e:76:7f:e4:da',
    podMac: '7a:5e:c5:2c:5b:c6',
  },
]) {
  test(`the identity of ${nameOf(row.id)} follows from ${row.hash}`, async (t) => {
    const { id, hash, ...want } = row
    t.strictSame(identityOf(id), want)
    t.equal(want.link, `tul${hash.slice(0, 11)}`)
  })
}

test('a bridge’s MAC follows from its name', async (t) => {
  // printf 'bridge\0cni0' | sha256sum → 3e53fda8553b…
  t.equal(bridgeMacOf('cni0'), '3e:53:fd:a8:55:3b')
})

test('a digest names a chain', async (t) => {
  // printf '10.0.0.0/8 224.0.0.0/4' | sha256sum → 78b52ca0…
  t.equal(digestOf('10.0.0.0/8 224.0.0.0/4'), '78b52ca0')
})

const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,20}$/)
const id = fc.record({ network: name, container: name, ifname: name })
const isLocalUnicast = (mac: string): boolean =>
  /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac) && (Number.parseInt(mac.slice(0, 2), 16) & 3) === 2

test('every identity is a name and two MACs that a link may have', async (t) => {
  const property = fc.property(id, (one) => {
    const { link, hostMac, podMac } = identityOf(one)
    return /^tul[0-9a-f]{11}$/.test(link) && isLocalUnicast(hostMac) && isLocalUnicast(podMac)
  })
  holds(t, property)
})

test('other names, other links; the NUL between them keeps a/b c apart from a b/c', async (t) => {
  const property = fc.property(id, id, (left, right) => {
    const isSame = JSON.stringify(left) === JSON.stringify(right)
    return isSame === (identityOf(left).link === identityOf(right).link)
  })
  holds(t, property)
  const links = [
    { network: 'ab', container: 'c', ifname: 'd' },
    { network: 'a', container: 'bc', ifname: 'd' },
    { network: 'a', container: 'b', ifname: 'cd' },
  ].map((one) => identityOf(one).link)
  t.equal(new Set(links).size, 3)
})
