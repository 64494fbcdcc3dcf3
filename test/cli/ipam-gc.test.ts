import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import { added, addressesOf, netconf } from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import type { Ran } from '../support/netns.ts'
import { tool, toolJson } from './tool.ts'

t.setTimeout(240_000)

type Collected = Readonly<{
  isDry: boolean
  gone: readonly Readonly<{ container: string; why: string; refusal?: string }>[]
  orphans: readonly string[]
}>

const conf = (host: Host, keys: Json = {}, version: '1.0.0' = '1.0.0'): Json =>
  netconf(host, { mode: 'routed', version, families: 'dual', keys })

const words = (host: Host, ...more: readonly string[]): readonly string[] => [
  ...['ipam', 'gc', '--data-dir', host.dataDir, '--conf-dir', join(host.directory, 'net.d')],
  ...more,
]
const collect = (host: Host, ...more: readonly string[]): Ran =>
  tool(words(host, ...more), host.netns)
const collectJson = (host: Host, ...more: readonly string[]): Collected =>
  toolJson<Collected>(words(host, ...more), host.netns)
const leased = (host: Host): readonly string[] =>
  toolJson<{ leases: readonly { container: string }[] }>(
    ['ipam', 'list', '--data-dir', host.dataDir],
    host.netns,
  ).leases.map(({ container }) => container)
const rules = (host: Host): string => host.netns.exec(['nft', 'list', 'ruleset']).stdout

/** The store as somebody else leaves it. */
function edit(host: Host, sql: string): void {
  const db = new DatabaseSync(join(host.dataDir, 'tulle.db'))
  db.exec(sql)
  db.close()
}

/** As a runtime that dies with its pods: their namespaces end, and nobody calls DEL. */
function end(pod: Pod): void {
  pod.netns.close()
  // The namespace goes in the background, with both ends of the veth.
  for (let tries = 0; tries < 200; tries++) {
    const links = pod.host.netns.ip('link')
    if (!links.includes(pod.container)) return
    if (tries === 199) throw new Error(`The link of ${pod.container} stays: ${links}`)
    pod.host.netns.exec(['sleep', '0.02'])
  }
}

t.test('what a pod held that is gone is given back; who lives keeps everything', (t) =>
  withHost((host) => {
    const ports = {
      runtimeConfig: {
        portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
      },
      capabilities: { portMappings: true },
    }
    const [gone, alive] = [host.pod(), host.pod()] as [Pod, Pod]
    const [address = ''] = addressesOf(added(gone, conf(host, ports))).map((one) =>
      one.replace(/\/.*/, ''),
    )
    added(alive, conf(host))
    end(gone)
    t.match(rules(host), address)

    const dry = collect(host, '--dry-run')
    t.equal(dry.code, 0, dry.stderr)
    t.match(
      dry.stdout,
      new RegExp(`^net +${gone.container} +eth0 +its host end tul\\w+ is not`, 'm'),
    )
    t.match(dry.stdout, 'would be given back')
    t.notMatch(dry.stdout, alive.container)
    t.ok(leased(host).includes(gone.container), 'a dry run changes nothing')
    t.match(rules(host), address)

    const { gone: taken, isDry } = collectJson(host)
    t.equal(isDry, false)
    t.match(taken, [{ container: gone.container, why: 'no-link' }])
    t.same([...new Set(leased(host))], [alive.container])
    const left = rules(host)
    t.notMatch(left, address, 'no rule of it')
    t.match(left, alive.container, 'all of the other')
    t.equal(collect(host).stdout, 'nothing to give back\n')
  }),
)

t.test('an ADD that is at work is left alone: its record is older than its link', (t) =>
  withHost((host) => {
    const [pod, other] = [host.pod(), host.pod()] as [Pod, Pod]
    added(pod, conf(host))
    added(other, conf(host))
    end(pod)
    end(other)
    // As the process of a call looks from outside, for as long as the test takes.
    const script = `CNI_COMMAND=ADD CNI_CONTAINERID=${pod.container} sleep 60 & echo $!`
    const pid = host.netns.exec(['sh', '-c', `${script.replace('&', '>/dev/null 2>&1 &')}`]).stdout
    try {
      t.match(collectJson(host).gone, [{ container: other.container }])
      t.same([...new Set(leased(host))], [pod.container])
    } finally {
      process.kill(Number(pid))
    }
    t.match(collectJson(host).gone, [{ container: pod.container }])
  }),
)

t.test('after a boot nothing of before lives, and no second look is needed', (t) =>
  withHost((host) => {
    const pod = host.pod()
    added(pod, conf(host))
    edit(host, "update meta set value = 'other 1' where key = 'life'")
    t.match(collectJson(host).gone, [{ container: pod.container, why: 'earlier-boot' }])
    t.same(leased(host), [])
  }),
)

t.test('from another network namespace every pod would look gone: refused', (t) =>
  withHost((host) => {
    added(host.pod(), conf(host))
    const { code, stderr } = tool(words(host), host.outside)
    t.equal(code, 1)
    t.match(stderr, 'another network namespace than this one, where no pod of its can be seen')
    t.equal(leased(host).length, 2)
  }),
)

t.test('rules of which no record tells; a pod that lives keeps its own all the same', (t) =>
  withHost((host) => {
    const [alive, torn, lost] = [host.pod(), host.pod(), host.pod()] as [Pod, Pod, Pod]
    for (const pod of [alive, torn, lost]) added(pod, conf(host))
    for (const { container } of [torn, lost])
      for (const table of ['attachment', 'address', 'extras'])
        edit(host, `delete from ${table} where container = '${container}'`)
    end(lost)
    const { stdout } = collect(host)
    t.match(stdout, `removed rules of which no record tells: net/${lost.container}/eth0\n`)
    const left = rules(host)
    t.notMatch(left, lost.container)
    for (const { container } of [alive, torn]) t.match(left, container)
  }),
)

t.test('the network’s own configuration is used where the node has it', (t) =>
  withHost((host) => {
    const folder = join(host.directory, 'net.d')
    mkdirSync(folder)
    const list = { cniVersion: '1.0.0', name: 'net', plugins: [{ ...conf(host), name: undefined }] }
    writeFileSync(join(folder, '10.conflist'), JSON.stringify(list))
    writeFileSync(join(folder, '20.conflist'), '{')
    const pod = host.pod()
    added(pod, conf(host))
    end(pod)
    t.match(collectJson(host).gone, [{ container: pod.container }])
    t.same(leased(host), [])
  }),
)
