import t from 'tap'
import { added, deleted, modes, netconf } from '../support/attachment.ts'
import { uplink, withHost } from '../support/host.ts'
import { containerPort, defaultRoutes, hostPort } from '../support/host-ports.ts'
import { hearSctp, sendInit } from '../support/sctp.ts'

t.setTimeout(120_000)

const portMappings = [{ hostPort, containerPort, protocol: 'sctp' }]

for (const mode of modes)
  for (const family of ['v4', 'v6'] as const)
    t.test(`${mode}: an SCTP host port is reached over IP${family}`, (t) =>
      withHost(async (host) => {
        const pod = host.pod()
        const conf = netconf(host, {
          mode,
          families: 'dual',
          keys: { ipMasq: true, runtimeConfig: { portMappings } },
          ipam: { routes: defaultRoutes },
        })
        added(pod, conf)
        const heard = await hearSctp(pod.netns, family)
        t.teardown(heard.close)
        // Nobody maps this one: it must not be what arrives.
        sendInit(host.outside, uplink.node[family], hostPort + 1)
        sendInit(host.outside, uplink.node[family], hostPort)
        t.equal(await heard.packet, `${containerPort} INIT right sum`)
        deleted(pod, conf)
      }),
    )
