import { join } from 'node:path'
import t from 'tap'
import { add, added, ask, deleted, modes, netconf, refusalOf } from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Host, uplink, withHost } from '../support/host.ts'
import { defaultRoutes, hostPort, mapped, serve } from '../support/host-ports.ts'
import { watchResidue } from '../support/residue.ts'
import { asked } from '../support/sockets.ts'

// Host ports of pods that nobody tells of any more, of other networks, of tables that were lost.

t.setTimeout(240_000)

type Mode = (typeof modes)[number]
const network = (host: Host, mode: Mode, name = 'net', ipam: Json = {}): Json =>
  netconf(host, {
    mode,
    name,
    families: 'dual',
    keys: { runtimeConfig: mapped(), bridge: name },
    ipam: { routes: defaultRoutes, ...ipam },
  })
const target = { protocol: 'tcp', address: uplink.node.v4, port: hostPort } as const

for (const mode of modes) {
  t.test(`${mode}: GC frees the ports of a pod that is not listed`, (t) =>
    withHost((host) => {
      const [lost, next] = [host.pod(), host.pod()]
      const left = watchResidue(host, [next.netns])
      const conf = network(host, mode)
      added(lost, conf)
      lost.netns.close()
      t.match(refusalOf(add(next, conf))?.details, lost.container)
      const ran = ask('GC', host, { ...conf, 'cni.dev/valid-attachments': [] })
      t.equal(ran.code, 0, ran.stdout)
      t.same(left(), [])
      added(next, conf)
      deleted(next, conf)
      t.same(left(), [])
    }),
  )

  t.test(`${mode}: a port that another store's network has is refused by name`, (t) =>
    withHost((host) => {
      const [one, two] = [host.pod(), host.pod()]
      const conf = network(host, mode)
      const other = network(host, mode, 'other', {
        dataDir: join(host.directory, 'elsewhere'),
        ranges: [[{ subnet: '10.78.0.0/24' }], [{ subnet: 'fd00:78::/64' }]],
      })
      added(one, conf)
      const left = watchResidue(host, [two.netns])
      const refusal = refusalOf(add(two, other))
      t.equal(refusal?.code, 106)
      t.match(refusal?.details, `tcp port 8080 of this host leads to net/${one.container}/eth0`)
      t.same(left(), [], 'and nothing of the refused one is left')
      deleted(one, conf)
      added(two, other)
      deleted(two, other)
    }),
  )

  t.test(`${mode}: a table that somebody removed is filled with every pod's ports`, (t) =>
    withHost(async (host) => {
      const [one, two] = [host.pod(), host.pod()]
      const conf = network(host, mode)
      added(one, conf)
      const close = await serve(one.netns, 'one')
      host.netns.exec(['nft', 'delete', 'table', 'inet', 'tulle'])
      t.equal(asked(host.outside, target), undefined)
      added(two, { ...conf, runtimeConfig: { portMappings: [{ hostPort: 9, containerPort: 9 }] } })
      t.match(asked(host.outside, target), / one$/)
      close()
    }),
  )
}
