// V8's code caches of the executable's assets: what a run has compiled, the next need not.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'

const conf = {
  cniVersion: '1.1.0',
  name: 'build',
  type: 'tulle',
  ipMasq: true,
  sysctl: { 'net.core.somaxconn': '512' },
  runtimeConfig: {
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
    bandwidth: { ingressRate: 1e8, ingressBurst: 8e6, egressRate: 1e8, egressBurst: 8e6 },
  },
  ipam: {
    type: 'host-local',
    ranges: [[{ subnet: '10.244.0.0/24' }], [{ subnet: 'fd00:10:244::/64' }]],
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
  },
}

/** The asset that src/main.ts runs for a verb, by the name that it is called by. */
const assetOfName = {
  loopback: 'loopback',
  'host-local': 'ipam',
  flannel: 'flannel',
  portmap: 'chained',
}
const cacheOf = (executable, verb) => assetOfName[path.basename(executable)] ?? `plugin.${verb}`

/** As flanneld writes it. */
const subnetEnv = `FLANNEL_NETWORK=10.245.0.0/16
FLANNEL_SUBNET=10.245.1.1/24
FLANNEL_MTU=1450
FLANNEL_IPMASQ=true
`

/**
 * Runs every verb once, and a name of each other asset, in throw-away namespaces, and keeps what V8
 * had compiled at its end.
 */
export function makeCaches({ stage, cacheVariable, work, verbs }) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tulle-build-'))
  const [host, pod] = ['host', 'pod'].map((name) => path.join(folder, name))
  try {
    for (const file of [host, pod]) {
      fs.writeFileSync(file, '')
      execFileSync('unshare', [`--net=${file}`, 'true'])
    }
    const network = { ...conf, ipam: { ...conf.ipam, dataDir: path.join(folder, 'data') } }
    const run = (executable, verb, input) =>
      execFileSync('nsenter', [`--net=${host}`, executable], {
        input: JSON.stringify(input),
        env: {
          PATH: process.env.PATH,
          CNI_COMMAND: verb,
          CNI_CONTAINERID: 'build',
          CNI_NETNS: pod,
          CNI_IFNAME: 'eth0',
          CNI_PATH: folder,
          CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=build',
          [cacheVariable]: path.join(work, `${cacheOf(executable, verb)}.cache`),
        },
        encoding: 'utf8',
      })
    let prevResult
    for (const verb of verbs) {
      const output = run(stage, verb, {
        ...network,
        ...(prevResult ? { prevResult } : {}),
        ...(verb === 'GC' ? { 'cni.dev/valid-attachments': [] } : {}),
      })
      if (verb === 'ADD') prevResult = JSON.parse(output)
    }
    const named = (name, input) => {
      const link = path.join(folder, name)
      fs.symlinkSync(stage, link)
      return run(link, 'ADD', { cniVersion: '1.0.0', type: name, ...input })
    }
    named('loopback', { name: 'cni-loopback' })
    named('host-local', { name: 'ipam', ipam: network.ipam })
    const subnetFile = path.join(folder, 'subnet.env')
    fs.writeFileSync(subnetFile, subnetEnv)
    const { dataDir } = network.ipam
    const made = named('flannel', { name: 'flannel', subnetFile, ipam: { dataDir } })
    const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }]
    const runtimeConfig = { portMappings }
    named('portmap', { name: 'flannel', dataDir, prevResult: JSON.parse(made), runtimeConfig })
  } finally {
    for (const file of [host, pod]) {
      try {
        execFileSync('umount', [file], { stdio: 'ignore' })
      } catch {}
    }
    fs.rmSync(folder, { recursive: true, force: true })
  }
}
