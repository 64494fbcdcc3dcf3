import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { parse } from 'yaml'
import { readCommandLine } from '../../src/agent/command-line.ts'
import { parseNodesFile } from '../../src/cluster/nodes-file.ts'
import { parseConfig } from '../../src/cni/config.ts'

test('the examples in conf/ are read as they are', (t) => {
  const line = readCommandLine(['--config', 'conf/agent.yaml', '--node-name', 'node-1'], {})
  t.match(line, { kind: 'run', config: { source: { path: '/etc/tulle/nodes.yaml' } } })
  const file = parseNodesFile(parse(readFileSync('conf/nodes.yaml', 'utf8')))
  t.match(file, { kind: 'nodes', nodes: [{ name: 'node-1' }, {}, { mode: 'vxlan' }] })
  const list = JSON.parse(readFileSync('conf/10-tulle-overlay.conflist', 'utf8'))
  const conf = { ...list.plugins[0], name: list.name, cniVersion: list.cniVersion }
  t.match(parseConfig(JSON.stringify(conf)), { overlay: { nodes: [{}, {}, {}] } })
  t.end()
})
