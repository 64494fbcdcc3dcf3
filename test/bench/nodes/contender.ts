import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { executable } from '../../support/cni.ts'
import { network } from './fleet.ts'
import type { Joined } from './underlay.ts'

/** A node agent under measurement: a program in a node's namespace. */
export type Contender = {
  readonly name: 'tulle' | 'flannel'
  readonly node: Joined
  readonly start: () => ChildProcess
}

export const apiPort = 6443

export function tulle(node: Joined, api: string, folder: string): Contender {
  const at = (name: string): string => join(folder, `tulle-${name}`)
  writeFileSync(at('kubeconfig'), kubeconfigOf(`http://${api}:${apiPort}`))
  const words = [
    ...['agent', '--node-name', node.name, '--kubeconfig', at('kubeconfig'), '--mode', 'vxlan'],
    ...['--conflist', at('10.conflist'), '--bin-dir', at('bin'), '--data-dir', at('data')],
    ...['--state-dir', at('state'), '--run-dir', at('run'), '--metrics', ''],
    ...['--log-level', 'error'],
  ]
  return { name: 'tulle', node, start: () => run(node, executable, words, folder) }
}

export function flannel(node: Joined, api: string, folder: string, file: string): Contender {
  const own = join(folder, 'flannel')
  mkdirSync(own, { recursive: true })
  const conf = { Network: network, EnableIPv4: true, Backend: { Type: 'vxlan', VNI: 1 } }
  writeFileSync(join(own, 'net-conf.json'), JSON.stringify(conf))
  const words = [
    ...['-kube-api-url', `http://${api}:${apiPort}`, '-iface', 'eth0'],
    ...['-net-config-path', join(own, 'net-conf.json'), '-subnet-file', join(own, 'subnet.env')],
  ]
  return { name: 'flannel', node, start: () => run(node, file, words, folder) }
}

function run(node: Joined, file: string, words: readonly string[], folder: string): ChildProcess {
  const child = spawn('nsenter', [`--net=${node.netns.path}`, file, ...words], {
    stdio: ['ignore', 'ignore', 'pipe'],
    cwd: folder,
    env: { PATH: process.env.PATH, NODE_NAME: node.name, HOME: folder },
  })
  let said = ''
  child.stderr?.on('data', (bytes: Buffer) => {
    said = (said + String(bytes)).slice(-4000)
  })
  child.on('exit', (code) => {
    if (code) process.stderr.write(`${node.name}: ended with ${code}: ${said}\n`)
  })
  return child
}

const kubeconfigOf = (server: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'bench',
    clusters: [{ name: 'bench', cluster: { server } }],
    contexts: [{ name: 'bench', context: { cluster: 'bench', user: 'bench' } }],
    users: [{ name: 'bench', user: {} }],
  })
