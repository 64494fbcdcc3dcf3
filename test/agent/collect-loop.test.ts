import { test } from 'tap'
import { CollectLoop, type Leaving, type Leavings } from '../../src/agent/collect-loop.ts'
import { FakeClock } from './fake-clock.ts'

const leaving = (container: string, address = '10.244.0.5'): Leaving => ({
  network: 'tulle',
  container,
  ifname: 'eth0',
  plugins: ['tulle'],
  link: `tul-${container}`,
  why: 'no-link',
  record: address,
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
      const remains = world.now.remains.filter((one) => one.container !== container)
      world.now = { ...world.now, remains }
    },
    onCollected: () => undefined,
  })
  collect.loop.mark()
  return { clock, deleted, collect }
}

const seen = (...remains: readonly Leaving[]): Leavings => ({ remains, filed: new Set() })

test('what looks gone is collected once it has been so for 30 s', async (t) => {
  const world = { now: seen(leaving('b')) }
  const { clock, deleted } = collecting(world)
  await clock.pass(29_000)
  t.same(deleted, [])
  await clock.pass(20_000)
  t.same(deleted, ['b'])
})

test('a link that comes within that time saves it: an ADD was at work', async (t) => {
  const world = { now: seen(leaving('a')) }
  const { clock, deleted } = collecting(world)
  await clock.pass(20_000)
  world.now = seen()
  await clock.pass(15_000)
  world.now = seen(leaving('a'))
  await clock.pass(29_000)
  t.same(deleted, [], 'and its time counts anew')
})

test('another record under the same name is another pod', async (t) => {
  const world = { now: seen(leaving('a')) }
  const { clock, deleted } = collecting(world)
  await clock.pass(20_000)
  world.now = seen(leaving('a', '10.244.0.6'))
  await clock.pass(25_000)
  t.same(deleted, [])
  await clock.pass(30_000)
  t.same(deleted, ['a'])
})

test('one that lives again while another is taken away is spared', async (t) => {
  const world = { now: seen(leaving('a'), leaving('b')) }
  const { clock, deleted } = collecting(world, (name) => {
    if (name === 'a') world.now = seen(leaving('a'))
  })
  await clock.pass(60_000)
  t.same(deleted, ['a'])
})

test('records of an earlier boot are collected at once', async (t) => {
  const world = { now: seen({ ...leaving('a'), why: 'earlier-boot' }) }
  const { clock, deleted } = collecting(world)
  await clock.pass(100)
  t.same(deleted, ['a'])
})

test('many are taken in turns, one at a time', async (t) => {
  const world = { now: seen(...Array.from({ length: 45 }, (_, at) => leaving(`p${at}`))) }
  const { clock, deleted, collect } = collecting(world)
  await clock.pass(31_000)
  t.equal(deleted.length, 20)
  await clock.pass(15_000)
  t.equal(deleted.length, 45)
  t.equal(collect.loop.status.errors, 0)
})
