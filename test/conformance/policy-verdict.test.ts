import t from 'tap'
import { addedLater, addressesOf, attachLater, deleted, modes } from '../support/attachment.ts'
import { type Host, uplink, withHost } from '../support/host.ts'
import {
  hasPolicyTable,
  isClosed,
  nft,
  policed,
  policedConf,
  verdicts,
} from '../support/policed.ts'
import { StandInAgent } from '../support/policy-stand-in.ts'
import { reaches } from '../support/reach.ts'
import { watchResidue } from '../support/residue.ts'

t.setTimeout(240_000)

async function withAgent(
  host: Host,
  onPoliced: ConstructorParameters<typeof StandInAgent>[1],
  use: (agent: StandInAgent) => Promise<void>,
): Promise<void> {
  const agent = new StandInAgent(host, onPoliced)
  try {
    await use(agent)
  } finally {
    agent.close()
  }
}

for (const mode of modes) {
  t.test(`${mode}: ADD returns when every address has both verdicts, and not before`, (t) =>
    withHost((host) => {
      const order: string[] = []
      return withAgent(
        host,
        (agent, all) => {
          for (const verdict of all) {
            const name = `${verdict.set} of ${verdict.key.length}`
            order.push(name)
            // One at a time: a plugin that looked at the first alone would be done too early.
            setTimeout(() => {
              agent.put([verdict])
              order.push(`put ${name}`)
            }, 40 * order.length)
          }
        },
        async () => {
          const pod = host.pod()
          const conf = policedConf(host, mode, {}, 60)
          const ran = await attachLater('ADD', pod, conf)
          order.push('ADD')
          t.equal(ran.code, 0, ran.stdout)
          t.equal(ran.stderr.includes('closed'), false, ran.stderr)
          t.equal(order.filter((one) => one.startsWith('put')).length, 4)
          t.equal(order.at(-1), 'ADD', order.join(', '))
          t.ok(reaches(pod.netns, '10.77.0.1'), 'it is open as it begins')
        },
      )
    }),
  )
}

for (const waitSeconds of [0, 0.2]) {
  t.test(`an agent that says nothing is waited for ${waitSeconds} s, then the pod is closed`, (t) =>
    withHost((host) =>
      withAgent(
        host,
        () => undefined,
        async () => {
          const pod = host.pod()
          const ran = await attachLater('ADD', pod, policedConf(host, 'routed', {}, waitSeconds))
          t.equal(ran.code, 0, 'a success all the same')
          t.match(ran.stderr, `the agent has not told within ${waitSeconds} s`)
          t.ok(isClosed(pod.netns, uplink.node.v4))
          t.ok(reaches(host.netns, addressesOf(JSON.parse(ran.stdout))[0] ?? ''), 'P30')
        },
      ),
    ),
  )
}

t.test('an agent that dies meanwhile is not waited for', (t) =>
  withHost((host) =>
    withAgent(
      host,
      (agent) => agent.die(),
      async () => {
        const ran = await attachLater('ADD', host.pod(), policedConf(host, 'routed', {}, 60))
        t.equal(ran.code, 0)
        t.match(ran.stderr, /the pod is closed until its policies are known: no agent holds /)
      },
    ),
  ),
)

t.test('without an agent ADD says so and returns, and DEL leaves nothing', (t) =>
  withHost(async (host) => {
    const pod = host.pod()
    const left = watchResidue(host, [pod.netns])
    const conf = policedConf(host, 'routed', {}, 60)
    const ran = await attachLater('ADD', pod, conf)
    t.match(ran.stderr, /no agent holds .*agent\.lock/)
    t.ok(hasPolicyTable(host.netns))
    deleted(pod, conf)
    t.same(left(), [])
  }),
)

t.test('with an agent its table and its verdicts stay its own', (t) =>
  withHost((host) =>
    withAgent(
      host,
      (agent, all) => agent.put(all),
      async (agent) => {
        const pod = host.pod()
        const conf = policedConf(host, 'routed')
        const options = { args: 'IP=10.77.0.50,fd00:77::50' }
        await addedLater(pod, conf, options)
        deleted(pod, conf)
        t.same(policed(host.netns), [])
        t.equal(verdicts(host.netns).length, 4, 'the agent, which knows of them, takes them away')
        agent.die()
        await addedLater(pod, conf, options)
        t.equal(verdicts(host.netns).length, 0, 'the next of its address gets none of them')
        deleted(pod, conf)
        t.notOk(hasPolicyTable(host.netns), 'and without an agent all goes')
      },
    ),
  ),
)

t.test('a dead agent’s verdicts go with the pod that they were about', (t) =>
  withHost((host) =>
    withAgent(
      host,
      (agent, all) => agent.put(all),
      async (agent) => {
        const conf = policedConf(host, 'routed')
        const [first, second] = [host.pod(), host.pod()]
        await addedLater(first, conf)
        await addedLater(second, conf)
        agent.die()
        deleted(first, conf)
        t.equal(verdicts(host.netns).length, 4)
        t.equal(policed(host.netns).length, 2)
        t.ok(reaches(second.netns, uplink.node.v4), 'the other pod keeps its own (P48)')
      },
    ),
  ),
)

const udp = (host: Host) => {
  nft(
    host.outside,
    'table inet probe { chain in { type filter hook prerouting priority -400;\n' +
      'udp sport 5060 udp dport 5060 counter\n}\n}',
  )
  return (): number =>
    Number(
      /packets (\d+)/.exec(
        host.outside.exec(['nft', 'list', 'table', 'inet', 'probe']).stdout,
      )?.[1],
    )
}

/** From one port to one, so that each pod of an address makes the same connection. */
const send = `
  use Socket;
  socket(my $s, PF_INET, SOCK_DGRAM, 0); setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
  bind($s, pack_sockaddr_in(5060, INADDR_ANY)) or die;
  send($s, "x", 0, pack_sockaddr_in(5060, inet_aton($ARGV[0]))) or die;
`

for (const dies of ['before', 'after'] as const)
  t.test(
    `no pod inherits an earlier one’s connections; the agent dies ${dies} its DEL (P44)`,
    (t) =>
      withHost(async (host) => {
        const conf = policedConf(host, 'routed')
        const options = { args: 'IP=10.77.0.50,fd00:77::50' }
        const arrived = udp(host)
        const [first, second, other] = [host.pod(), host.pod(), host.pod()]
        const agent = new StandInAgent(host, (agent, all) => agent.put(all))
        try {
          await addedLater(other, conf)
          await addedLater(first, conf, options)
          nft(
            host.netns,
            'add rule inet tulle-policy current ct mark & 0xfffff000 == 0x00001000 accept\n' +
              'add rule inet tulle-policy admit ct mark set 0x00001000',
          )
          first.netns.exec(['/usr/bin/perl', '-e', send, uplink.outside.v4])
          t.equal(arrived(), 1)
          if (dies === 'before') agent.die()
          deleted(first, conf)
        } finally {
          agent.close()
        }
        await addedLater(second, conf, options)
        second.netns.exec(['/usr/bin/perl', '-e', send, uplink.outside.v4])
        t.equal(arrived(), 1, 'it is closed, although conntrack knows the connection as allowed')
        t.ok(reaches(other.netns, uplink.node.v4), 'what is allowed is judged, and passes')
      }),
  )
