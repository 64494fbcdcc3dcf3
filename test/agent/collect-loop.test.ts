import { test } from 'tap'
import { CollectLoop, type Leavings } from '../../src/agent/collect-loop.ts'
import type { Attachment } from '../../src/datapath/attachment.ts'
import { FakeClock } from './fake-clock.ts'

const attachment = (container: string, address = '10.244.0.5'): Attachment => ({
  network: 'tulle',
  container,
  ifname: 'eth0',
  mode: 'routed',
  link: `tul-${container}`,
  mtuBytes: 1500,
  podMac: '',
  hostMac: '',
  bridge: null,
  ips: [{ address, subnetBits: 24, gateway: null }],
  routes: [],
  masqueradeExcept: null,
  spoofCheck: true,
})

function collecting(world: { now: Leavings }, onDel: (name: string) => void = () => undefined) {
  const clock = new FakeClock()
  const deleted: string[] = []
  const collect = new CollectLoop({
    clock,
    random: () => 0,
    onError: () => undefined,
    look: () => world.now,
    del: async ({ container }) => {
      onDel(container)
      deleted.push(container)
      const attachments = world.now.attachments.filter((one) => one.container !== container)
      world.now = { ...world.now, attachments }
    },
    onCollected: () => undefined,
  })
  collect.loop.mark()
  return { clock, deleted, collect }
}

const seen = (attachments: readonly Attachment[], ...links: readonly string[]): Leavings => ({
  attachments,
  isEarlierLife: false,
  links: new Set(links),
})

test('a record without a link is collected once it has been so for 30 s', async (t) => {
  const world = { now: seen([attachment('a'), attachment('b')], 'tul-a') }
  const { clock, deleted } = collecting(world)
  await clock.pass(29_000)
  t.same(deleted, [])
  await clock.pass(20_000)
  t.same(deleted, ['b'])
})

test('a link that comes within that time saves it: an ADD was at work', async (t) => {
  const world = { now: seen([attachment('a')]) }
  const { clock, deleted } = collecting(world)
  await clock.pass(20_000)
  world.now = seen([attachment('a')], 'tul-a')
  await clock.pass(15_000)
  world.now = seen([attachment('a')])
  await clock.pass(29_000)
  t.same(deleted, [], 'and its time counts anew')
})

test('another record under the same name is another pod', async (t) => {
  const world = { now: seen([attachment('a')]) }
  const { clock, deleted } = collecting(world)
  await clock.pass(20_000)
  world.now = seen([attachment('a', '10.244.0.6')])
  await clock.pass(25_000)
  t.same(deleted, [])
  await clock.pass(30_000)
  t.same(deleted, ['a'])
})

test('one that lives again while another is taken away is spared', async (t) => {
  const world = { now: seen([attachment('a'), attachment('b')]) }
  const { clock, deleted } = collecting(world, (name) => {
    if (name === 'a') world.now = { ...world.now, links: new Set(['tul-b']) }
  })
  await clock.pass(60_000)
  t.same(deleted, ['a'])
})

test('records of an earlier life are collected at once, link or not', async (t) => {
  const world = { now: { ...seen([attachment('a')], 'tul-a'), isEarlierLife: true } }
  const { clock, deleted } = collecting(world)
  await clock.pass(100)
  t.same(deleted, ['a'])
})

test('many are taken in turns, one at a time', async (t) => {
  const world = { now: seen(Array.from({ length: 45 }, (_, at) => attachment(`p${at}`))) }
  const { clock, deleted, collect } = collecting(world)
  await clock.pass(31_000)
  t.equal(deleted.length, 20)
  await clock.pass(15_000)
  t.equal(deleted.length, 45)
  t.equal(collect.loop.status.errors, 0)
})
