import t from 'tap'
import {
  added,
  type Families,
  families,
  modes,
  netconf,
  type Version,
} from '../support/attachment.ts'
import { withHost } from '../support/host.ts'
import { referenceAdded } from '../support/reference.ts'
import { compare, lookAt, type Seen } from '../support/seen.ts'

t.setTimeout(240_000)
for (const mode of modes)
  for (const of of families) {
    const one = async (ref: boolean) => {
      let seen: Seen = new Map()
      await withHost(async (host) => {
        const pod = host.pod()
        const conf = netconf(host, {
          mode,
          families: of,
          version: '1.0.0',
          ipam: {
            routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }].filter(
              (r) => of === 'dual' || (of === 'v4') === r.dst.includes('.'),
            ),
          },
        })
        const result = ref ? referenceAdded(mode, pod, conf) : added(pod, conf)
        await new Promise((r) => setTimeout(r, 2000))
        seen = lookAt(pod, result)
      })
      return seen
    }
    for (const d of compare(await one(true), await one(false)))
      console.log(mode, of, d.path, '|', d.reference, '|', d.ours)
  }
