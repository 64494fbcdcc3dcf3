import { test } from 'tap'
import { clusterComment } from '../../src/datapath/cluster.ts'
import { allHoldings } from '../../src/store/holdings.ts'
import { LeaseStore } from '../../src/store/lease-store.ts'
import { attachmentOf } from '../datapath/attachments.ts'
import { free, withFolder } from './folder.ts'

const use = <T>(folder: string, work: (store: LeaseStore) => T): T =>
  LeaseStore.use(folder, free, work)

test('what is inside the cluster is kept for each who told, and goes into every table', async (t) =>
  withFolder((folder) => {
    use(folder, (store) => {
      t.strictSame(store.cluster.all(), [])
      t.strictSame(allHoldings(store), [])
      store.cluster.put('agent', ['10.1.0.0/16'])
      store.cluster.put('network net', ['10.9.0.0/16', 'fd00:9::/48'])
      store.putAttachment(attachmentOf('routed', 'v4'))
    })
    use(folder, (store) => {
      t.strictSame(store.cluster.of('agent'), ['10.1.0.0/16'])
      t.equal(store.cluster.of('nobody'), undefined)
      t.strictSame([...store.cluster.all()].sort(), ['10.1.0.0/16', '10.9.0.0/16', 'fd00:9::/48'])
      const sets = allHoldings(store)
        .filter(({ name }) => name === clusterComment)
        .flatMap(({ elements }) => elements.map(({ set }) => set))
      t.strictSame(sets, ['cluster4', 'cluster4', 'cluster6'])
      t.equal(allHoldings(store).length, 2)
      store.releaseAll()
      t.equal(store.cluster.all().length, 3, 'nodes outlive a boot, pods do not')
      store.cluster.put('agent', ['10.2.0.0/16'])
      store.cluster.drop('network net')
    })
    use(folder, (store) => t.strictSame(store.cluster.all(), ['10.2.0.0/16']))
  }))
