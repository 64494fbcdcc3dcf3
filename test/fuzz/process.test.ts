import fc from 'fast-check'
import t from 'tap'
import { refusalOf } from '../support/attachment.ts'
import { executable } from '../support/cni.ts'
import { type Host, withHost } from '../support/host.ts'
import { MountSpace } from '../support/mount-space.ts'
import { type Ran, run } from '../support/netns.ts'
import { difference, picture } from '../support/residue.ts'
import { type Input, inputs } from './input.ts'
import { outcomeFaults } from './outcome.ts'

const cases = Number(process.env.TULLE_FUZZ_CASES ?? 2_000)
const seed = Number(process.env.TULLE_FUZZ_SEED ?? Date.now() % 2 ** 31)

/** 100 ms a case is three times what one takes on an idle machine. */
t.setTimeout(120_000 + cases * 100)

type Start = (input: Input) => Ran
type Node = Readonly<{ start: Start; links: () => number }>

/** What was added, a DEL with the same input takes away: every case meets an empty node. */
function undo(start: Start, input: Input): readonly string[] {
  const ran = start({ ...input, env: { ...input.env, CNI_COMMAND: 'DEL' } })
  return ran.code === 0 ? [] : [`DEL with the same input: ${ran.stdout}${ran.stderr}`]
}

/** How often each ending was met: shows that the cases get past the first check. */
const endings = new Map<string, number>()

function count(input: Input, ran: Ran): void {
  const code = ran.code === 1 ? `error ${refusalOf(ran)?.code}` : `exit ${ran.code}`
  const isVerb = /^(ADD|DEL|CHECK|STATUS|GC|VERSION)$/.test(input.env.CNI_COMMAND ?? '')
  const ending = `${isVerb ? input.env.CNI_COMMAND : 'other'} ${code}`
  endings.set(ending, (endings.get(ending) ?? 0) + 1)
}

/** A refused ADD leaves nothing, and an undone one neither. */
const linkFaults = (before: number, after: number): readonly string[] =>
  before === after ? [] : [`${after} links on the node, ${before} before`]

function expectOutcome({ start, links }: Node, input: Input): void {
  const before = links()
  const ran = start(input)
  count(input, ran)
  const wasAdded = input.env.CNI_COMMAND === 'ADD' && ran.code === 0
  const undone = wasAdded ? undo(start, input) : []
  const faults = [...outcomeFaults(input, ran), ...undone, ...linkFaults(before, links())]
  if (faults.length === 0) return
  const { env, stdin } = input
  const told = {
    faults,
    env,
    stdin: new TextDecoder().decode(stdin),
    stdout: ran.stdout.slice(0, 2000),
  }
  throw new Error(JSON.stringify({ ...told, stderr: ran.stderr.slice(0, 2000) }, null, 2))
}

/** The machine's disk is read-only for the plugin, but for one directory. */
const confine = (directory: string): string =>
  [
    `mount --bind ${directory} ${directory}`,
    'mount -o remount,bind,ro /',
    `mount -o remount,bind,rw ${directory}`,
  ].join('\n')

const startOn =
  (host: Host, space: MountSpace): Start =>
  ({ env, stdin }) =>
    run([...space.words, '/usr/bin/nsenter', `--net=${host.netns.path}`, executable], {
      input: stdin,
      env,
    })

t.test(`${cases} processes, TULLE_FUZZ_SEED=${seed}`, (t) =>
  withHost(async (host) => {
    t.comment(`TULLE_FUZZ_CASES=${cases} TULLE_FUZZ_SEED=${seed}`)
    const pods = [host.pod(), host.pod()]
    const spaces = [host.netns, ...pods.map(({ netns }) => netns)]
    const before = spaces.map(picture)
    const space = await MountSpace.open(confine(host.directory))
    try {
      const dataDirs = [host.dataDir, `${host.directory}/b`]
      const netns = spaces.map(({ path }) => path)
      const links = (): number =>
        host.netns.exec(['/usr/bin/cat', '/proc/net/dev']).stdout.split('\n').length
      const node = { start: startOn(host, space), links }
      const property = fc.property(inputs({ netns, dataDirs }), (input) =>
        expectOutcome(node, input),
      )
      const outcome = fc.check(property, {
        seed,
        numRuns: cases,
      })
      if (outcome.failed) t.fail(`${outcome.errorInstance} (path ${outcome.counterexamplePath})`)
      t.equal(outcome.numRuns, cases)
      const told = [...endings].sort().map(([ending, times]) => `${ending}: ${times}`)
      t.comment(told.join(', '))
      const least = cases / 20
      t.ok((endings.get('ADD exit 0') ?? 0) > least, 'some ADDs succeed')
      const left = spaces.flatMap((one, index) => difference(before[index] ?? [], picture(one)))
      t.same(left, [], 'after all of them nothing is left')
    } finally {
      await space.close()
    }
  }),
)
