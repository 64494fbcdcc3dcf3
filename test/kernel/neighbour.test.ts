import { test } from 'tap'
import { formatAddress } from '../../src/base/address.ts'
import { formatMac } from '../../src/base/mac.ts'
import { type IfIndex, newBridge, setLink } from '../../src/wire/rtnl/link.ts'
import { newNeighbour } from '../../src/wire/rtnl/neighbour.ts'
import { address, mac } from '../wire/values.ts'
import { type Room, refusalOf, withRoom } from './sockets.ts'

function addBridge({ rtnl, route }: Room): IfIndex {
  rtnl.ask('add', newBridge({ name: 'br0', mac: mac('0a:58:0a:01:00:02'), mtuBytes: 1500 }))
  const link = route.link({ name: 'br0' })?.index
  if (link === undefined) throw new Error('Cannot find br0')
  rtnl.ask('no link-local', setLink({ index: link, noLinkLocal: true }))
  rtnl.ask('up', setLink({ index: link, up: true }))
  return link
}

const podMac = mac('0a:58:0a:01:00:05')
const otherMac = mac('0a:58:0a:01:00:06')
const ipNeighbours = ({ netns }: Room): readonly Record<string, unknown>[] =>
  netns.ipJson('neighbour', 'show', 'nud', 'all').filter(({ state }) => `${state}` !== 'NOARP')

for (const text of ['10.1.0.5', 'fd00::5', 'fe80::5'])
  test(`newNeighbour ${text}: \`ip\` and decodeNeighbour read it`, (t) =>
    withRoom((room) => {
      const link = addBridge(room)
      room.rtnl.ask('add', newNeighbour({ link, address: address(text), mac: podMac }))
      t.match(ipNeighbours(room), [
        { dst: text, dev: 'br0', lladdr: '0a:58:0a:01:00:05', state: ['PERMANENT'] },
      ])
      const ours = room.route.neighbours().filter(({ permanent }) => permanent)
      t.strictSame(
        ours.map((one) => [one.link, formatAddress(one.address), one.mac && formatMac(one.mac)]),
        [[link, text, '0a:58:0a:01:00:05']],
      )
    }))

test('newNeighbour takes the place of what is there: another MAC, or one that was learnt', (t) =>
  withRoom((room) => {
    const link = addBridge(room)
    const { netns, rtnl } = room
    netns.ip(
      'neighbour',
      'add',
      '10.1.0.5',
      'lladdr',
      '0a:58:0a:01:00:06',
      'nud',
      'stale',
      'dev',
      'br0',
    )
    rtnl.ask('add', newNeighbour({ link, address: address('10.1.0.5'), mac: podMac }))
    t.match(ipNeighbours(room), [{ lladdr: '0a:58:0a:01:00:05', state: ['PERMANENT'] }])
    rtnl.ask('add', newNeighbour({ link, address: address('10.1.0.5'), mac: otherMac }))
    t.match(ipNeighbours(room), [{ lladdr: '0a:58:0a:01:00:06', state: ['PERMANENT'] }])
    t.equal(ipNeighbours(room).length, 1)
  }))

test('decodeNeighbour reads what `ip` made, in every state', (t) =>
  withRoom((room) => {
    addBridge(room)
    const states = ['permanent', 'noarp', 'reachable', 'stale', 'delay', 'probe']
    for (const [at, state] of states.entries())
      for (const to of [`10.1.0.${at + 1}`, `fd00::${at + 1}`])
        room.netns.ip(
          'neighbour',
          'add',
          to,
          'lladdr',
          `0a:58:0a:01:00:0${at}`,
          'nud',
          state,
          'dev',
          'br0',
        )
    const ours = room.route.neighbours()
    for (const [at, state] of states.entries())
      for (const to of [`10.1.0.${at + 1}`, `fd00::${at + 1}`]) {
        const found = ours.find((one) => formatAddress(one.address) === to)
        t.equal(found?.mac && formatMac(found.mac), `0a:58:0a:01:00:0${at}`)
        t.equal(found?.permanent, state === 'permanent')
      }
  }))

test('newNeighbour on a link that is not there is refused', (t) =>
  withRoom((room) => {
    const wrong = { link: 4711 as IfIndex, address: address('10.1.0.5'), mac: podMac }
    t.match(
      refusalOf(() => room.rtnl.ask('add', newNeighbour(wrong))),
      { errno: 19 },
    )
  }))
