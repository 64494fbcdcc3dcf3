import fc from 'fast-check'
import { test } from 'tap'
import { nodeObject } from '../support/api-objects.ts'
import { ApiServer } from '../support/api-server.ts'
import { sameView, watched } from './reflected.ts'

// Whatever happens between the server and us, in the end we know what it knows.

type Step = (server: ApiServer) => void | Promise<void>

const some = fc.nat(12)
const steps: fc.Arbitrary<{ readonly name: string; readonly step: Step }> = fc.oneof(
  fc.tuple(some, fc.nat(3)).map(([index, other]) => ({
    name: `put ${index} ${other}`,
    step: (server: ApiServer) => {
      server.store.put('/nodes', nodeObject(index, { podCIDRs: [`10.${other}.${index}.0/24`] }))
    },
  })),
  some.map((index) => ({
    name: `noise of ${index}`,
    step: ({ store }: ApiServer) => {
      const stored = store.get('/nodes', `node-${index}`)
      if (stored)
        store.put('/nodes', {
          ...stored.object,
          status: { ...(stored.object.status as object), beat: store.revision },
        })
    },
  })),
  some.map((index) => ({
    name: `delete ${index}`,
    step: ({ store }: ApiServer) => void store.delete('/nodes', `node-${index}`),
  })),
  fc.constantFrom(
    { name: 'drop', step: (server: ApiServer) => server.drop() },
    { name: 'compact', step: (server: ApiServer) => server.compact() },
    { name: 'other objects', step: ({ store }: ApiServer) => store.skip() },
    { name: 'end of watches', step: (server: ApiServer) => server.endWatches() },
    { name: 'hang', step: (server: ApiServer) => server.hang() },
    { name: 'recover', step: (server: ApiServer) => server.recover() },
    {
      name: 'restart',
      step: async (server: ApiServer) => {
        await server.stop()
        await server.listen()
      },
    },
    {
      name: 'a moment',
      step: () => new Promise<void>((resolve) => setImmediate(resolve)),
    },
  ),
  fc.constantFrom(429, 500, 503, 403, 410).map((status) => ({
    name: `refusal ${status}`,
    step: ({ faults }: ApiServer) => void faults.refusals.push({ status, reason: 'ATest' }),
  })),
  fc.constantFrom(0, 1, 7, 100).map((bytes) => ({
    name: `pieces of ${bytes}`,
    step: ({ faults }: ApiServer) => {
      faults.pieceBytes = bytes
    },
  })),
  fc.constantFrom('http' as const, 'stream' as const).map((how) => ({
    name: `gone by ${how}`,
    step: ({ faults }: ApiServer) => {
      faults.goneAs = how
    },
  })),
)

test('after any changes and faults the view is the server’s state', async (t) => {
  const property = fc.asyncProperty(fc.array(steps, { maxLength: 25 }), async (sequence) => {
    const server = new ApiServer()
    await server.listen()
    const { believer, feed, settled } = watched(server)
    feed.start()
    try {
      for (const { step } of sequence) {
        await step(server)
        await new Promise((resolve) => setImmediate(resolve))
      }
      server.recover()
      await settled()
      if (!sameView(believer, server)) throw new Error('another view')
      if (believer.broken.length > 0) throw new Error(believer.broken.join(', '))
    } finally {
      await feed.stop()
      await server.stop()
    }
  })
  const details = await fc.check(property, {
    numRuns: 60,
    interruptAfterTimeLimit: 60_000,
    examples: [],
  })
  t.equal(details.failed ? fc.defaultReportMessage(details) : 'holds', 'holds')
})
