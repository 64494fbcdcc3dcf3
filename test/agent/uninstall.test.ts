import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { executable } from '../support/cni.ts'
import { three, withCluster } from './cluster.ts'
import { until } from './running-agent.ts'

test('uninstall takes away everything that the agent made, and nothing else', (t) =>
  withCluster(three, async (cluster) => {
    const { agent, host } = cluster.get('a')
    const { netns } = host
    const at = (name: string): string => join(agent.folder, name)
    const others = (): string =>
      [
        netns.ip('route', 'show', '198.51.100.0/24'),
        netns.ip('-br', 'addr', 'show', 'dev', 'eth0').trim(),
        netns.exec(['nft', 'list', 'table', 'inet', 'other']).stdout,
      ].join('\n')
    netns.ip('route', 'add', '198.51.100.0/24', 'via', '10.0.0.2')
    netns.exec(['nft', 'add', 'table', 'inet', 'other'])
    await until('the set', () =>
      netns.exec(['nft', 'list', 'set', 'inet', 'tulle', 'cluster4']).stdout.includes('10.244.1.0'),
    )
    await until('what is known', () => existsSync(at('state/known-nodes.json')))
    const before = others()
    mkdirSync(at('net.d'))
    const list = { cniVersion: '1.0.0', name: 'tulle', plugins: [{ type: 'tulle' }] }
    writeFileSync(at('net.d/10-tulle.conflist'), JSON.stringify(list))
    writeFileSync(at('net.d/20-other.conflist'), JSON.stringify({ ...list, name: 'other' }))
    const uninstall = (conflist: string) =>
      netns.exec([
        executable,
        'uninstall',
        ...['--dir', at('bin'), '--conflist', at(`net.d/${conflist}`), '--data-dir', at('data')],
        ...['--state-dir', at('state'), '--run-dir', at('run'), '--json'],
      ])
    const refused = uninstall('10-tulle.conflist')
    t.equal(refused.code, 1)
    t.match(refused.stderr, /an agent runs here/)
    t.ok(netns.ip('route', 'show', 'proto', '116'), 'nothing was changed')

    t.equal(await agent.end('SIGTERM'), 0)
    const done = uninstall('10-tulle.conflist')
    t.equal(done.code, 0, done.stderr)
    t.equal(netns.ip('route', 'show', 'proto', '116'), '')
    t.equal(netns.ip('-6', 'route', 'show', 'proto', '116'), '')
    t.notMatch(netns.ip('link'), /tulle/)
    t.notMatch(netns.exec(['nft', 'list', 'ruleset']).stdout, /tulle/)
    t.equal(others(), before)
    t.same(readdirSync(at('net.d')), ['20-other.conflist'])
    t.same(readdirSync(at('run')), [])
    t.same(readdirSync(at('state')), [])
    const again = uninstall('20-other.conflist')
    t.same(JSON.parse(again.stdout), { dir: at('bin'), changed: [] }, "others' list stays")
    t.ok(existsSync(at('net.d/20-other.conflist')))
  }))
