import { readdirSync } from 'node:fs'
import { type Test, test } from 'tap'
import { type KernelNotice, routeGroups, watchKernel } from '../../src/kernel/event-stream.ts'
import { decodeNeighbour } from '../../src/wire/rtnl/neighbour.ts'
import { decodeLink } from '../../src/wire/rtnl/observed-link.ts'
import { decodeRoute, newRoute } from '../../src/wire/rtnl/route.ts'
import { run } from '../support/netns.ts'
import { prefix } from '../wire/values.ts'
import { native, type Room, runNft, withRoom } from './sockets.ts'

type Heard = { readonly notices: KernelNotice[]; lost: number }

/** Listens while `act` works, then until `isEnough`; a wait without end is cut by tap's limit. */
async function listen(
  room: Room,
  act: () => void,
  isEnough: (heard: Heard) => boolean,
): Promise<Heard> {
  const heard: Heard = { notices: [], lost: 0 }
  await new Promise<void>((resolve, reject) => {
    const check = (): void => {
      if (!isEnough(heard)) return
      watch.close()
      resolve()
    }
    const watch = watchKernel({
      native,
      netnsFd: room.fd,
      routeGroups: Object.keys(routeGroups) as (keyof typeof routeGroups)[],
      nftables: true,
      onNotice: (notice) => {
        heard.notices.push({ ...notice, body: Uint8Array.from(notice.body) })
        check()
      },
      onLost: () => {
        heard.lost++
        check()
      },
      onBroken: reject,
    })
    act()
  })
  return heard
}

const RTM_DELLINK = 17
const RTM_DELROUTE = 25
const RTM_NEWNEIGH = 28
const types = (heard: Heard, protocol: string): readonly number[] => [
  ...new Set(heard.notices.filter((n) => n.protocol === protocol).map(({ type }) => type)),
]

test('what others do to links, addresses, routes and neighbours is heard', (t) =>
  withRoom(async (room) => {
    const heard = await listen(
      room,
      () => {
        room.netns.ip('link', 'add', 'v0', 'up', 'type', 'veth', 'peer', 'name', 'v1')
        room.netns.ip('link', 'set', 'v1', 'up')
        room.netns.ip('addr', 'add', '192.0.2.1/24', 'dev', 'v0')
        room.netns.ip('addr', 'add', '2001:db8::1/64', 'dev', 'v0', 'nodad')
        room.netns.ip('neigh', 'add', '192.0.2.9', 'lladdr', '02:00:00:00:00:09', 'dev', 'v0')
        room.netns.ip('route', 'add', '198.51.100.0/24', 'via', '192.0.2.9')
        room.netns.ip('-6', 'route', 'add', '2001:db8:1::/64', 'dev', 'v0')
        room.netns.ip('route', 'del', '198.51.100.0/24')
        room.netns.ip('link', 'del', 'v0')
      },
      ({ notices }) =>
        notices.some(({ type, body }) => type === RTM_DELLINK && decodeLink(body).name === 'v0'),
    )
    const found = types(heard, 'route')
    for (const type of [16, 17, 20, 24, 25, 28]) t.ok(found.includes(type), `type ${type}`)
    const routes = heard.notices.filter(({ type }) => type === RTM_DELROUTE)
    const gone = routes.flatMap(({ body }) => decodeRoute(body) ?? [])
    t.ok(gone.some(({ destination }) => destination.address.value === 0xc6336400n))
    const neighbours = heard.notices.filter(({ type }) => type === RTM_NEWNEIGH)
    const macs = neighbours.flatMap(({ body }) => decodeNeighbour(body)?.mac ?? [])
    t.ok(macs.some((mac) => Buffer.from(mac).toString('hex') === '020000000009'))
    t.equal(heard.lost, 0)
  }))

test('what others do to nftables is heard', (t) =>
  withRoom(async (room) => {
    const isGone = ({ notices }: Heard) => notices.some(({ type }) => type === 10 * 256 + 2)
    const heard = await listen(
      room,
      () => {
        runNft(room.netns, 'add', 'table', 'inet', 'x')
        runNft(room.netns, 'delete', 'table', 'inet', 'x')
      },
      isGone,
    )
    t.ok(types(heard, 'nftables').includes(10 * 256), 'NFT_MSG_NEWTABLE')
  }))

test('a notice tells whose doing it was', (t) =>
  withRoom(async (room) => {
    room.netns.ip('link', 'add', 'v0', 'up', 'type', 'veth', 'peer', 'name', 'v1')
    room.netns.ip('link', 'set', 'v1', 'up')
    const link = room.route.link({ name: 'v0' })
    if (!link) throw new Error('no v0')
    const own = room.rtnl.portId()
    const heard = await listen(
      room,
      () => {
        const destination = prefix('198.51.100.0/24')
        room.rtnl.ask('add a route', newRoute({ destination, link: link.index }))
        room.netns.ip('route', 'del', '198.51.100.0/24')
      },
      ({ notices }) => notices.some(({ type }) => type === RTM_DELROUTE),
    )
    const ofRoutes = heard.notices.filter(({ type }) => type === 24 || type === RTM_DELROUTE)
    t.match(
      ofRoutes.map(({ type, portId }) => [type, portId === own]),
      [
        [24, true],
        [RTM_DELROUTE, false],
      ],
    )
  }))

/** 4 MiB of buffer (kernel/native), some 800 bytes a message. */
const tooMany = 16_000

test('what the kernel has no room for is told as lost, and listening goes on', (t) =>
  withRoom(async (room) => {
    room.netns.ip('link', 'add', 'v0', 'up', 'type', 'veth', 'peer', 'name', 'v1')
    room.netns.ip('link', 'set', 'v1', 'up')
    const lines = Array.from(
      { length: tooMany },
      (_, at) => `route add 10.${at >> 8}.${at & 255}.0/24 dev v0`,
    )
    const isMarker = ({ type, body }: KernelNotice): boolean =>
      type === 16 && decodeLink(body).name.startsWith('marker')
    const act = (): void => {
      // the loop of this process stands still meanwhile
      const done = run(['ip', '-n', room.netns.name, '-batch', '-'], {
        input: `${lines.join('\n')}\n`,
      })
      if (done.code !== 0) throw new Error(done.stderr)
    }
    // One that comes while there is no room yet is lost as well.
    let markers = 0
    const add = (): void =>
      void room.netns.ip('link', 'add', `marker${markers++}`, 'type', 'bridge')
    const adding = setInterval(add, 50)
    const heard = await listen(room, act, ({ notices }) => notices.some(isMarker))
    clearInterval(adding)
    t.ok(heard.lost > 0)
    t.ok(heard.notices.length < tooMany)
  }))

test('closing ends the thread, from within a notice too, and may be done twice', (t) =>
  withRoom(async (room) => {
    const threads = () => readdirSync('/proc/self/task').length
    const before = threads()
    const open = () =>
      watchKernel({
        native,
        netnsFd: room.fd,
        routeGroups: ['link'],
        nftables: true,
        onNotice: () => t.fail('after close'),
        onLost: () => undefined,
        onBroken: () => undefined,
      })
    const watch = open()
    t.equal(threads(), before + 2)
    room.netns.ip('link', 'add', 'late', 'type', 'bridge')
    watch.close()
    watch.close()
    t.equal(threads(), before)
    await new Promise(setImmediate)
  }))

for (const { why, groups, text } of [
  { why: 'no such group', groups: ['beyond'], text: /hear route events of group .*EINVAL/ },
  { why: 'no such namespace', groups: ['link'], text: /open a socket.*EBADF/ },
] as { why: string; groups: (keyof typeof routeGroups)[]; text: RegExp }[])
  test(`a watch that can't be is refused, and nothing stays open: ${why}`, async (t) => {
    const count = () => readdirSync('/proc/self/fd').length
    const before = count()
    const nothing = () => undefined
    const told = { onNotice: nothing, onLost: nothing, onBroken: nothing }
    const netnsFd = why === 'no such namespace' ? 9999 : -1
    const open = () =>
      watchKernel({ native, netnsFd, routeGroups: groups, nftables: false, ...told })
    t.throws(open, { message: text })
    t.equal(count(), before)
  })

const program = (end: string): string => `
const { loadNative } = await import('${new URL('../../src/kernel/native.ts', import.meta.url)}')
const { watchKernel } = await import(
  '${new URL('../../src/kernel/event-stream.ts', import.meta.url)}')
const nothing = () => {}
const watch = watchKernel({ native: loadNative(), routeGroups: ['link'], nftables: true,
  onNotice: nothing, onLost: nothing, onBroken: nothing })
${end}`

function endsWith(t: Test, end: string, code: number): void {
  const done = run(
    ['unshare', '--net', process.execPath, '--input-type=module', '-e', program(end)],
    { timeoutMs: 20_000 },
  )
  t.equal(done.code, code, done.stderr)
}

test('a process that has closed its watch ends by itself', async (t) => {
  endsWith(t, 'watch.close(); process.exitCode = 7', 7)
})

test('a process that exits with an open watch does not hang', async (t) => {
  endsWith(t, 'process.exit(8)', 8)
})

test('a process that throws with an open watch does not hang', async (t) => {
  endsWith(t, 'throw new Error("x")', 1)
})
