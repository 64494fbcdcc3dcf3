import { join } from 'node:path'
import t from 'tap'
import type { Leaving } from '../../src/agent/collect-loop.ts'
import { added, netconf } from '../support/attachment.ts'
import { executable } from '../support/cni.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import { difference, picture } from '../support/residue.ts'

t.setTimeout(120_000)

const program = join(import.meta.dirname, 'leavings-program.ts')

function collect(
  { netns, dataDir, directory }: Host,
  containerAtWork?: string,
): readonly Leaving[] {
  const words = [process.execPath, program, dataDir, join(directory, 'net.d'), executable]
  const work = `CNI_COMMAND=DEL CNI_CONTAINERID=${containerAtWork} sleep 60 & w=$!`
  const done =
    containerAtWork === undefined
      ? netns.exec(words)
      : netns.exec(['sh', '-c', `${work}; "$@"; c=$?; kill $w; exit $c`, 'sh', ...words])
  if (done.code !== 0) throw new Error(`Cannot collect: ${done.stderr}`)
  return JSON.parse(done.stdout) as readonly Leaving[]
}

/** As a runtime that dies with its pods: their namespaces end, and nobody calls DEL. */
function end(pod: Pod): void {
  pod.netns.close()
  // The namespace goes in the background, with both ends of the veth.
  for (let tries = 0; pod.host.netns.ip('link').includes(pod.container); tries++) {
    if (tries === 200) throw new Error(`The link of ${pod.container} stays`)
    pod.host.netns.exec(['sleep', '0.02'])
  }
}

t.test('what a gone pod left goes, host ports too; a call at work on it is not disturbed', (t) =>
  withHost((host) => {
    const conf = netconf(host, {
      mode: 'routed',
      version: '1.0.0',
      families: 'dual',
      keys: {
        capabilities: { portMappings: true },
        runtimeConfig: {
          portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
        },
      },
    })
    const plain = netconf(host, { mode: 'routed', version: '1.0.0', families: 'dual', keys: {} })
    const [gone, alive] = [host.pod(), host.pod()]
    added(alive, plain)
    const before = picture(host.netns)
    added(gone, conf)
    t.same(collect(host), [], 'a pod that lives is none of it')
    end(gone)
    t.same(collect(host, gone.container), [], 'its DEL is at work')
    t.match(collect(host), [{ container: gone.container, plugins: ['tulle'], why: 'no-link' }])
    t.same(difference(before, picture(host.netns)), [])
    t.same(collect(host), [])
  }),
)

t.test('from another network namespace than the records nothing is taken away', (t) =>
  withHost((host) => {
    const conf = netconf(host, { mode: 'routed', version: '1.0.0', families: 'dual', keys: {} })
    added(host.pod(), conf)
    const before = picture(host.netns)
    const words = [process.execPath, program, host.dataDir, '/nowhere', executable]
    t.equal(host.outside.exec(words).stdout, '[]')
    t.same(difference(before, picture(host.netns)), [])
  }),
)
