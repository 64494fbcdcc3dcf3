// The agent is restarted, replaced by another build, and killed again and again, while packets go
// between pods of all nodes: none is lost, none gets through that policies forbid.
import {
  appendFileSync,
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { buildImage } from '../../../conf/image/build.ts'
import { executable } from '../../support/cni.ts'
import { Agents } from './agents.ts'
import { liveCluster, withNamespace } from './live-cluster.ts'
import { startPods } from './pods.ts'
import { PolicedField } from './policed-field.ts'

t.setTimeout(600_000)

const cluster = liveCluster()
const agents = new Agents(cluster)

t.test('agents restarted, upgraded, killed in a row: 0 packets lost', (test) =>
  withNamespace(test, cluster, async (namespace) => {
    const folder = mkdtempSync(join(tmpdir(), 'tulle-upgrade-'))
    const field = await PolicedField.make(cluster, namespace)
    const during = async (what: string, act: () => Promise<void>): Promise<void> => {
      await field.begin()
      await sleep(aroundMilliseconds)
      await act()
      await sleep(aroundMilliseconds)
      await field.end(test, what)
      test.same(await field.wrongAnswers(), [], `${what}: new connections go as policies say`)
      test.same(await agents.complaints(), [], `${what}: every agent says that all is well`)
    }
    try {
      await during('killed in a row', killInARow)
      await during('rollout restart', async () => {
        await cluster.must(['-n', 'tulle-system', 'rollout', 'restart', 'daemonset/tulle'])
        await cluster.rolledOut('tulle-system')
      })
      const other = await otherBuild(folder)
      await during('upgrade', async () => {
        await agents.setImage(other.image)
        await cluster.rolledOut('tulle-system')
      })
      for (const { name, computer } of cluster.nodes) {
        const installed = readFileSync(join(computer.disk, 'opt/cni/bin/.tulle/tulle'))
        test.ok(installed.equals(other.bytes), `${name}: the plugin is of the other build`)
      }
      const wishes = cluster.nodes.map(({ name: node }) => ({ name: `fresh-${node}`, node }))
      await startPods(cluster, namespace, wishes)
      test.pass('pods start by the other build')
      await during('back to the first build', async () => {
        await cluster.must(['-n', 'tulle-system', 'rollout', 'undo', 'daemonset/tulle'])
        await cluster.rolledOut('tulle-system')
      })
    } finally {
      field.close()
      rmSync(folder, { recursive: true })
    }
  }),
)

/** Packets before and after are counted too. */
const aroundMilliseconds = 2_000

/** The kubelet waits 10 s before it starts a container again that ended twice, then 20 s. */
const kills = 3

async function killInARow(): Promise<void> {
  for (let round = 0; round < kills; round++) {
    await agents.allReady()
    await agents.killAll()
  }
  await agents.allReady()
}

/** The same program with one byte more: to Tulle that is another build. */
async function otherBuild(folder: string) {
  const image = 'localhost/tulle:other-build'
  const program = join(folder, 'tulle')
  copyFileSync(executable, program)
  appendFileSync(program, '\n')
  const tar = join(folder, 'tulle-other-build.tar')
  writeFileSync(tar, buildImage({ executable: program, root: '/', name: image }))
  await Promise.all(cluster.nodes.map((node) => node.importImage(tar)))
  return { image, bytes: readFileSync(program) }
}
