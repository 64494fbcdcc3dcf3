import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  add,
  added,
  addressesOf,
  ask,
  attachLater,
  check,
  deleted,
  modes,
  netconf,
  refusalOf,
} from '../support/attachment.ts'
import { executable, type Json } from '../support/cni.ts'
import { type Pod, uplink, withHost } from '../support/host.ts'
import { asOurs } from '../support/named.ts'
import {
  counted,
  hasPolicyTable,
  isClosed,
  nft,
  policed,
  policedConf,
  runDirOf,
  verdicts,
} from '../support/policed.ts'
import { reaches } from '../support/reach.ts'
import { Recorder } from '../support/recorder.ts'
import { watchResidue } from '../support/residue.ts'

t.setTimeout(240_000)

const nameOf = (pod: Pod, network = 'net'): string => `${network}/${pod.container}/${pod.ifname}`

/** What the sets hold for pods of these addresses. */
const heldBy = (pod: Pod, addresses: readonly string[], network = 'net'): readonly string[] =>
  addresses.map((address) => `${address}: ${nameOf(pod, network)}`)

for (const mode of modes) {
  t.test(`${mode}: a table that somebody deleted is back with the next ADD, closed for all`, (t) =>
    withHost((host) => {
      const left = watchResidue(host, [])
      const conf = policedConf(host, mode)
      const pods = [host.pod(), host.pod(), host.pod()]
      const first = pods.slice(0, 2).map((pod) => added(pod, conf))
      nft(host.netns, 'delete table inet tulle-policy')
      const results = [...first, added(pods[2] as Pod, conf)]
      const wanted = pods.flatMap((pod, at) => heldBy(pod, addressesOf(results[at] ?? {})))
      t.same(policed(host.netns), wanted.toSorted())
      for (const pod of pods) t.ok(isClosed(pod.netns))
      t.ok(counted(host.netns, 'closed-egress') > 0)
      for (const pod of pods) deleted(pod, conf)
      t.same(left(), [])
    }),
  )

  t.test(`${mode}: CHECK tells of an element and of a rule that is missing`, (t) =>
    withHost((host) => {
      const pod = host.pod()
      const conf = policedConf(host, mode)
      const result = added(pod, conf)
      t.equal(check(pod, conf, result).code, 0)
      const [v4 = ''] = addressesOf(result)
      nft(host.netns, `delete element inet tulle-policy policed4 { ${v4} }`)
      const ran = check(pod, conf, result)
      const lacks = "nftables inet tulle-policy set policed4 lacks the pod's element"
      t.match(refusalOf(ran)?.details, lacks)
      nft(host.netns, `add element inet tulle-policy policed4 { ${v4} }`)
      t.equal(check(pod, conf, result).code, 0)
      nft(host.netns, 'flush chain inet tulle-policy input')
      const broken = refusalOf(check(pod, conf, result))?.details
      t.match(broken, 'nftables inet tulle-policy lacks the rule "input: ')
    }),
  )
}

t.test('CHECK tells that a bridge hides its frames from policies', (t) =>
  withHost((host) => {
    const pod = host.pod()
    const conf = policedConf(host, 'bridge')
    const result = added(pod, conf)
    t.equal(check(pod, conf, result).code, 0)
    host.netns.exec(['/usr/sbin/sysctl', '-qw', 'net.bridge.bridge-nf-call-iptables=0'])
    t.match(refusalOf(check(pod, conf, result))?.details, /bridge-nf-call-iptables/)
  }),
)

const subnetEnv =
  'FLANNEL_NETWORK=10.77.0.0/16\nFLANNEL_SUBNET=10.77.3.1/24\nFLANNEL_MTU=1400\n' +
  'FLANNEL_IPMASQ=true\n'

const valid = 'cni.dev/valid-attachments'

t.test('GC takes what belongs to nobody, with a record or without', (t) =>
  withHost((host) => {
    const left = watchResidue(host, [])
    const conf = policedConf(host, 'routed')
    const [kept, stale, lost] = [host.pod(), host.pod(), host.pod()]
    const addresses = addressesOf(added(kept, conf))
    added(stale, conf)
    added(lost, conf)
    nft(
      host.netns,
      'add element inet tulle-policy egress4 { 10.77.0.3 : return, 10.77.0.4 : return }',
    )
    // of this one no record tells
    deleted(lost, conf)
    nft(
      host.netns,
      `add element inet tulle-policy policed4 { 10.77.0.4 comment "${nameOf(lost)}" }`,
    )
    const keeping = { ...conf, [valid]: [{ containerID: kept.container, ifname: kept.ifname }] }
    t.equal(ask('GC', host, keeping).code, 0)
    t.same(policed(host.netns), heldBy(kept, addresses).toSorted())
    t.same(verdicts(host.netns), [])
    t.equal(ask('GC', host, { ...conf, [valid]: [] }).code, 0)
    t.same(left(), [])
  }),
)

t.test('DEL of a pod whose record is lost leaves nothing', (t) =>
  withHost((host) => {
    const left = watchResidue(host, [])
    const conf = policedConf(host, 'routed')
    const pod = host.pod()
    added(pod, conf)
    rmSync(host.dataDir, { recursive: true })
    deleted(pod, conf)
    t.same(left(), [])
  }),
)

t.test('a pod that came when policies held goes with all of it when they do not', (t) =>
  withHost((host) => {
    const left = watchResidue(host, [])
    const [one, two] = [host.pod(), host.pod()]
    const conf = policedConf(host, 'routed')
    const off = { ...conf, policy: { enforce: false } }
    added(one, conf)
    added(two, off)
    t.equal(policed(host.netns).length, 2)
    t.ok(reaches(two.netns, uplink.node.v4), 'it holds for the one alone')
    deleted(one, off)
    t.notOk(hasPolicyTable(host.netns), 'the table goes with the last that it holds for')
    deleted(two, off)
    t.same(left(), [])
  }),
)

// P44: two own an address for a while.
for (const goes of ['first', 'second'] as const)
  t.test(`an address of two pods stays closed when the ${goes} goes`, (t) =>
    withHost((host) => {
      const left = watchResidue(host, [])
      const conf = (name: string): Json => ({ ...policedConf(host, 'bridge'), name })
      const [one, two] = [host.pod(), host.pod()]
      const args = { args: 'IP=10.77.0.50,fd00:77::50' }
      added(one, conf('a'), args)
      added(two, conf('b'), args)
      const addresses = ['10.77.0.50', 'fd00:77::50']
      t.same(policed(host.netns), heldBy(two, addresses, 'b').toSorted(), 'the later one has it')
      if (goes === 'first') deleted(one, conf('a'))
      else deleted(two, conf('b'))
      const still = goes === 'first' ? heldBy(two, addresses, 'b') : heldBy(one, addresses, 'a')
      t.same(policed(host.netns), still.toSorted())
      if (goes === 'first') deleted(two, conf('b'))
      else deleted(one, conf('a'))
      t.same(left(), [])
    }),
  )

t.test('addresses that another IPAM plugin gives are closed too', (t) =>
  withHost((host) => {
    const recorder = new Recorder(host)
    recorder.answer('ADD', {
      cniVersion: '1.1.0',
      ips: [{ address: '10.90.0.5/24', gateway: '10.90.0.1' }],
    })
    const pod = host.pod()
    const left = watchResidue(host, [pod.netns])
    const conf = {
      ...policedConf(host, 'routed'),
      dataDir: host.dataDir,
      ipam: { type: 'recorder' },
    }
    added(pod, conf)
    t.same(policed(host.netns), [`10.90.0.5: ${nameOf(pod)}`])
    t.ok(isClosed(pod.netns, uplink.node.v4))
    deleted(pod, conf)
    t.same(left(), [])
  }),
)

for (const name of ['bridge', 'ptp', 'flannel'] as const)
  t.test(`by the name ${name} policies hold if the key is there`, (t) =>
    withHost((host) => {
      const subnetFile = join(host.directory, 'subnet.env')
      writeFileSync(subnetFile, subnetEnv)
      const ipam = { dataDir: host.dataDir }
      const { policy } = policedConf(host, 'bridge')
      const conf = (keys: Json): Json =>
        name === 'flannel'
          ? { cniVersion: '1.0.0', name: 'net', type: name, subnetFile, ipam, ...keys }
          : { ...netconf(host, { mode: 'bridge' }), type: name, ...keys }
      const extra = asOurs(host, name)
      const [open, closed] = [host.pod(), host.pod()]
      added(open, conf({}), extra)
      t.notOk(hasPolicyTable(host.netns), 'without it there is nothing of them')
      added(closed, conf({ policy }), extra)
      t.equal(policed(host.netns).length, 1)
      const check = name === 'ptp' ? 'judged-address' : 'own-address'
      const guarded = host.netns.exec(['nft', 'list', 'ruleset']).stdout
      t.match(guarded, `comment "${nameOf(closed)}" : jump ${check}`, 'and none sends as another')
      deleted(closed, conf({ policy }), extra)
      deleted(open, conf({}), extra)
      t.notOk(hasPolicyTable(host.netns))
    }),
  )

t.test('an ADD without the key has nothing to do with policies', (t) =>
  withHost((host) => {
    const file = join(host.directory, 'trace')
    const calls = 'trace=sendto,sendmsg,open,openat,stat,statx'
    const wrapper = ['/usr/bin/strace', '-f', '-s', '1000000', '-e', calls, '-o', file]
    const spoken = /tulle-policy|policed|agent\.lock/
    for (const keys of [{}, { policy: { enforce: false, runDir: runDirOf(host) } }]) {
      added(host.pod(), netconf(host, { mode: 'routed', families: 'dual', keys }), { wrapper })
      t.notMatch(readFileSync(file, 'latin1'), spoken)
    }
    added(host.pod(), policedConf(host, 'routed'), { wrapper })
    t.match(readFileSync(file, 'latin1'), spoken, 'which could be seen')
  }),
)

t.test('refused where policies could not hold', (t) =>
  withHost((host) => {
    const pod = host.pod()
    const conf = policedConf(host, 'routed')
    const result = added(pod, conf)
    const { cniVersion, name, type, policy } = conf
    const behind = add(pod, { cniVersion, name, type, policy, prevResult: result })
    t.match(refusalOf(behind)?.details, 'set it where the interface is made')
    t.equal(refusalOf(behind)?.code, 7)
    const subnetFile = join(host.directory, 'subnet.env')
    writeFileSync(subnetFile, subnetEnv)
    const flannel = { cniVersion: '1.0.0', name: 'f', type: 'flannel', subnetFile, policy }
    const foreign = add(
      host.pod(),
      { ...flannel, ipam: { dataDir: host.dataDir }, delegate: { type: 'macvlan' } },
      asOurs(host, 'flannel'),
    )
    t.match(refusalOf(foreign)?.details, 'delegate.type is "macvlan"')
    deleted(pod, conf)
  }),
)

t.test('many that come and go at once: each is closed while it is there, nothing is left', (t) =>
  withHost(async (host) => {
    const conf = policedConf(host, 'routed')
    const pods = Array.from({ length: 16 }, () => host.pod())
    const left = watchResidue(host, [])
    const faults: string[] = []
    await Promise.all(
      pods.map(async (pod) => {
        for (let round = 0; round < 2; round += 1) {
          const ran = await attachLater('ADD', pod, conf)
          if (ran.code !== 0) faults.push(`ADD: ${ran.stdout}`)
          const asked = { ...conf, prevResult: JSON.parse(ran.stdout) as unknown }
          const checked = await attachLater('CHECK', pod, asked)
          if (checked.code !== 0) faults.push(`CHECK: ${checked.stdout}`)
          const gone = await attachLater('DEL', pod, conf)
          if (gone.code !== 0) faults.push(`DEL: ${gone.stdout}`)
        }
      }),
    )
    t.same(faults, [])
    t.same(left(), [])
  }),
)

t.test('uninstall takes the policies away, and says that none holds', (t) =>
  withHost((host) => {
    const pod = host.pod()
    const conf = policedConf(host, 'routed')
    added(pod, conf)
    const folder = (name: string): string => {
      const path = join(host.directory, name)
      mkdirSync(path, { recursive: true })
      return path
    }
    const uninstall = (): Json => {
      const done = host.netns.exec([
        executable,
        'uninstall',
        ...['--dir', folder('bin'), '--conflist', join(host.directory, 'none')],
        ...['--data-dir', host.dataDir, '--state-dir', folder('state')],
        ...['--run-dir', folder('run'), '--json'],
      ])
      t.equal(done.code, 0, done.stderr)
      return JSON.parse(done.stdout) as Json
    }
    t.match(JSON.stringify(uninstall()), /nftables inet tulle-policy.*no network policy holds/)
    t.notOk(hasPolicyTable(host.netns))
    t.notMatch(JSON.stringify(uninstall()), /tulle-policy/)
    deleted(pod, conf)
  }),
)
