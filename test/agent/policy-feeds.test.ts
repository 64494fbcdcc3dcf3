import { test } from 'tap'
import { PolicyBook } from '../../src/agent/policy-book.ts'
import { openPolicyFeeds } from '../../src/agent/policy-feeds.ts'
import { clientOf } from '../kube/reflected.ts'
import { ApiServer } from '../support/api-server.ts'
import { until } from './running-agent.ts'

test('what is wrong with the API is told when it begins and ends, without any news', async (t) => {
  const server = new ApiServer()
  await server.listen()
  t.teardown(() => server.stop())
  const book = new PolicyBook(
    () => 0,
    () => undefined,
  )
  let told: readonly string[] = []
  const feeds = openPolicyFeeds(clientOf(server), book, () => {
    told = feeds.problems()
  })
  await until('all to be known', () => book.isWhole)
  t.same(told, [])
  await server.stop()
  await until('problems to be told', () => told.length > 0)
  await server.listen()
  await until('the end of them to be told', () => told.length === 0)
  await feeds.close()
})
