import { makeNetns, type Netns, run } from '../../support/netns.ts'

/** Where the nodes meet: this process's own namespace, a bridge in it, the API at its address. */
export type Underlay = {
  readonly address: string
  /** A node of its own on the bridge, with a way to everywhere. */
  readonly join: (label: string) => Joined
  readonly close: () => void
}
export type Joined = { readonly netns: Netns; readonly address: string; readonly name: string }

/** 10.99.0.0/16, which no node of the fleet is in: all of those are behind a router. */
export function makeUnderlay(): Underlay {
  const joined: Netns[] = []
  const address = '10.99.0.1'
  ip('link', 'set', 'lo', 'up')
  ip('link', 'add', 'br0', 'type', 'bridge')
  ip('addr', 'add', `${address}/16`, 'dev', 'br0')
  ip('link', 'set', 'br0', 'up')
  return {
    address,
    join: (name) => {
      const netns = makeNetns(name)
      joined.push(netns)
      const own = `10.99.0.${joined.length + 1}`
      const port = `port${joined.length}`
      ip('link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns.name)
      ip('link', 'set', port, 'master', 'br0', 'up')
      netns.ip('link', 'set', 'eth0', 'up')
      netns.ip('addr', 'add', `${own}/16`, 'dev', 'eth0')
      netns.ip('route', 'add', 'default', 'via', address)
      return { netns, address: own, name }
    },
    close: () => {
      for (const netns of joined) netns.close()
      run(['ip', 'link', 'del', 'br0'])
    },
  }
}

function ip(...words: readonly string[]): void {
  const done = run(['ip', ...words])
  if (done.code !== 0) throw new Error(`Cannot ip ${words.join(' ')}: ${done.stderr.trim()}`)
}
